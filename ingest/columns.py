"""Checks of many events at once: the rules of `ingest.rules`, a column at a time, without a Python step per event.

Each check answers only whether all are right. Where one is not, the callers go event by event through `ingest.rules`,
which says what is wrong; a property test holds the two together.
"""

from collections.abc import Collection, Sequence
from math import inf
from operator import le
from typing import Any

from ingest.rows import (
    CHOICE,
    DERIVED_AT,
    EVENT_ID,
    OPERATION,
    OTHER,
    OTHER_CHOICE,
    RESPONSE_ID,
    SIGNAL,
    SOLICITED,
    TEXT,
    USER_KEY,
    VALUE,
)
from ingest.rules import MAX_CHOICE, MAX_TEXT_CHARACTERS, MAX_USER_KEY_CHARACTERS, RULES, SAFE_ID

_HEX = b"0123456789abcdef"
_SAFE_FIRST = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SAFE = _SAFE_FIRST + b"._:@+=~-"
_ID_CHARACTERS = 36
_MAX_ID_CHARACTERS = 128
_NEEDY = frozenset(signal for signal, rule in RULES.items() if rule.needs or rule.other)
"""Signals that need more than to be said."""
_BOUNDS = {signal: rule.value or (inf, -inf) for signal, rule in RULES.items()}
"""Least and greatest value; of signals that carry none, no value lies between them."""

Columns = Sequence[Sequence[Any]]
"""Rows by column."""


def all_uuid7(ids: Collection[str]) -> bool:
    """Whether each id is a UUIDv7 in canonical form (as `rules.UUID7`)."""
    if set(map(len, ids)) != {_ID_CHARACTERS}:
        return not ids
    try:
        text = "".join(ids).encode("ascii")
    except UnicodeEncodeError:
        return False
    count = len(ids)
    hyphens = b"-" * count
    return (
        text[8::_ID_CHARACTERS] == hyphens
        and text[13::_ID_CHARACTERS] == hyphens
        and text[18::_ID_CHARACTERS] == hyphens
        and text[23::_ID_CHARACTERS] == hyphens
        and text[14::_ID_CHARACTERS] == b"7" * count
        and not text[19::_ID_CHARACTERS].translate(None, b"89ab")
        # Nothing but the four hyphens of each remains, so that everything else is a hexadecimal digit.
        and len(text.translate(None, _HEX)) == 4 * count
    )


def all_safe_ids(ids: Collection[str]) -> bool:
    """Whether each id is 1 to 128 safe characters (as `rules.SAFE_ID`)."""
    if not ids:
        return True
    sizes = set(map(len, ids))
    if min(sizes) < 1 or max(sizes) > _MAX_ID_CHARACTERS:
        return False
    try:
        text = "".join(ids).encode("ascii")
    except UnicodeEncodeError:
        return False
    # Ids of one length, as ours are, begin at equal distances.
    first = text[:: min(sizes)] if len(sizes) == 1 else "".join([item[0] for item in ids]).encode("ascii")
    return not text.translate(None, _SAFE) and not first.translate(None, _SAFE_FIRST)


def all_choices(choices: Collection[int]) -> bool:
    """Whether each is the index of an answer."""
    return not choices or (min(choices) >= 0 and max(choices) <= MAX_CHOICE)


def all_instants(instants: Collection[float], latest: Collection[float]) -> bool:
    """Whether each is in [0, its latest] (NaN is not)."""
    return not instants or (all(map(le, instants, latest)) and min(instants) >= 0.0)


def all_user_keys(keys: Sequence[str | None]) -> bool:
    """Whether each that is given is 1 to 64 safe characters."""
    given: Sequence[Any] = keys if all(keys) else [key for key in keys if key is not None]
    return all_safe_ids(given) and (not given or max(map(len, given)) <= MAX_USER_KEY_CHARACTERS)


def all_content(columns: Columns, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether value, text, other answer and `solicited` of each row are what its signal may carry. `columns` are those
    of the rows; rows may have more behind `solicited`."""
    odd = {
        index
        for column in (columns[TEXT], columns[OTHER], columns[SOLICITED])
        if column.count(None) < len(column)
        for index, given in enumerate(column)
        if given is not None
    }
    for index, (signal, value) in enumerate(zip(columns[SIGNAL], columns[VALUE], strict=True)):
        if value is None:
            if signal in _NEEDY:
                odd.add(index)
        else:
            low, high = _BOUNDS[signal]
            if not low <= value <= high:
                return False
    return all(_content_fits(rows[index]) for index in odd)


def all_right(rows: Sequence[Sequence[Any]], columns: Columns, received_at: Sequence[float]) -> bool:
    """Whether all rows, of which there are some, are valid events, projects and sources apart. `columns` are those of
    the rows. Of some hundred rows they stay in the processor's cache from one check to the next."""
    return (
        all_uuid7(columns[EVENT_ID])
        and all_safe_ids(columns[RESPONSE_ID])
        and all_choices(columns[CHOICE])
        and all_choices(columns[OTHER_CHOICE])
        and all_user_keys(columns[USER_KEY])
        and all_instants(columns[DERIVED_AT], received_at)
        and all_content(columns, rows)
    )


def _content_fits(row: Sequence[Any]) -> bool:
    rule, is_set = RULES[row[SIGNAL]], row[OPERATION] == "set"
    value, text, other, solicited = row[VALUE], row[TEXT], row[OTHER], row[SOLICITED]
    if value is None:
        if is_set and "value" in rule.needs:
            return False
    elif rule.value is None or not rule.value[0] <= value <= rule.value[1]:
        return False
    if not text and is_set and "text" in rule.needs:
        return False
    if text is not None and (not rule.text or len(text) > MAX_TEXT_CHARACTERS or "\0" in text):
        return False
    if other is None:
        if rule.other:
            return False
    elif not rule.other or SAFE_ID.fullmatch(other) is None or (other, row[OTHER_CHOICE]) == row[RESPONSE_ID:SIGNAL]:
        return False
    return solicited is None or 0.0 < solicited <= 1.0
