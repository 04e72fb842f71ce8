"""Checks of many events at once: the rules of `ingest.rules`, a column at a time, without a Python step per event.

Each check answers only whether all are right. Where one is not, the callers go event by event through `ingest.rules`,
which says what is wrong; a property test holds the two together.
"""

from collections.abc import Collection, Iterable, Sequence
from operator import le
from typing import Any

from ingest.rows import (
    CHOICE,
    DERIVED_AT,
    EVENT_ID,
    OPERATION,
    OTHER,
    OTHER_CHOICE,
    RECEIVED_AT,
    RESPONSE_ID,
    SIGNAL,
    SOLICITED,
    TEXT,
    USER_KEY,
    VALUE,
    LedgerRow,
)
from ingest.rules import MAX_CHOICE, MAX_TEXT_CHARACTERS, MAX_USER_KEY_CHARACTERS, RULES, SAFE_ID, Rule

_HEX = b"0123456789abcdef"
_SAFE_FIRST = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SAFE = _SAFE_FIRST + b"._:@+=~-"
_LOT = 512
_ID_CHARACTERS = 36
_MAX_ID_CHARACTERS = 128
_PLAIN = frozenset(signal for signal, rule in RULES.items() if rule == Rule())
"""Signals that carry nothing: most events."""
_BOUNDS = {signal: rule.value for signal, rule in RULES.items() if rule.value is not None}
"""Signals that carry a value and nothing else: most of the others."""


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
    given = [key for key in keys if key is not None]
    return all_safe_ids(given) and (not given or max(map(len, given)) <= MAX_USER_KEY_CHARACTERS)


def all_content(rows: Iterable[Sequence[Any]]) -> bool:
    """Whether value, text, other answer and `solicited` of each row are what its signal may carry."""
    odd = [
        row
        for row in rows
        if row[VALUE] is not None
        or row[SIGNAL] not in _PLAIN
        or row[TEXT] is not None
        or row[OTHER] is not None
        or row[SOLICITED] is not None
    ]
    for row in odd:
        bounds = _BOUNDS.get(row[SIGNAL])
        value = row[VALUE]
        plain = row[TEXT] is None and row[OTHER] is None and row[SOLICITED] is None
        if plain and value is not None and bounds is not None:
            if not bounds[0] <= value <= bounds[1]:
                return False
        elif not _content_fits(row):
            return False
    return True


def all_right(rows: Sequence[LedgerRow]) -> bool:
    """Whether all rows are valid events, projects and sources apart."""
    # In lots that stay in the processor's cache from one column to the next.
    return all(_lot_right(rows[start : start + _LOT]) for start in range(0, len(rows), _LOT))


def _lot_right(rows: Sequence[LedgerRow]) -> bool:
    columns = list(zip(*rows, strict=True))
    return (
        all_uuid7(columns[EVENT_ID])
        and all_safe_ids(columns[RESPONSE_ID])
        and all_choices(columns[CHOICE])
        and all_choices(columns[OTHER_CHOICE])
        and all_user_keys(columns[USER_KEY])
        and all_instants(columns[DERIVED_AT], columns[RECEIVED_AT])
        and all_content(rows)
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
