"""From wire events to rows of the log, a batch at a time: what `ingest.wire.to_event` does for one, without a Python
step per event where a column will do. A property test holds the two together."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import astuple

from infra.contracts import user_keys
from ingest.columns import all_choices, all_content, all_safe_ids, all_uuid7
from ingest.ledger import derived_at
from ingest.rows import CHOICE, DEVICE, EVENT_ID, OTHER_CHOICE, RESPONSE_ID, SOLICITED, USER_KEY, Row
from ingest.rules import Problem, check
from ingest.wire import LATEST_INSTANT, MAX_USER_CHARACTERS, WireEvent, read_time

_CREATED, _SENT = 10, 13
"""Places of the fields of a WireEvent that a Row does not have; see there."""

_REMEMBERED_USERS = 1 << 16
_NUMBERS = frozenset({int, float})
_FEW = 4
"""Below so many events, columns cost more than they save."""


class RecentKeys:
    """Keys of the users seen lately, made once. In two generations, the older of which goes when the younger is full:
    unlike a list by last use, which is put in order at every look, it is only read where users come again."""

    def __init__(self, key_of: Callable[[str], str], size: int) -> None:
        self._key_of = key_of
        self._size = size
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def of(self, users: Sequence[str | None]) -> Sequence[str | None] | None:
        """The key of each of these users, None where there is none or the text is empty; None if a text is too long.

        One look for each user seen before: of so many keys most are in no cache, so that a look costs as much as what
        is done with what it finds.
        """
        keys = list(map(self._young.get, users))  # type: ignore[arg-type]
        if all(keys):
            return keys
        for index, key in enumerate(keys):
            user = users[index]
            if key is None and user:
                if len(user) > MAX_USER_CHARACTERS:
                    return None
                keys[index] = self.of_one(user)
        return keys

    def of_one(self, user: str) -> str:
        """The key of a user."""
        key = self._young.get(user)
        if key is None:
            key = self._old.get(user) or self._key_of(user)
            if len(self._young) >= self._size:
                self._young, self._old = {}, self._young
            self._young[user] = key
        return key


class Intake:
    """Turns batches of one deployment's wire events into rows."""

    def __init__(self, secret: bytes) -> None:
        self._keys = RecentKeys(user_keys(secret), _REMEMBERED_USERS)

    def rows(self, events: Sequence[WireEvent], received_at: float) -> list[Row] | None:
        """The rows of events that are all valid, in their order; None if any is not. The raw users end here."""
        if len(events) < _FEW:
            return self._one_by_one(events, received_at)
        wire = list(map(astuple, events))
        columns: list[Any] = list(zip(*wire, strict=True))
        if not (
            all_uuid7(columns[EVENT_ID])
            and all_safe_ids(columns[RESPONSE_ID])
            and all_choices(columns[CHOICE])
            and all_choices(columns[OTHER_CHOICE])
            and all_content(columns, wire)
        ):
            return None
        instants = _derived(columns[_CREATED], columns[_SENT], received_at)
        keys = self._keys.of(columns[USER_KEY])
        if instants is None or keys is None:
            return None
        return list(zip(*columns[:USER_KEY], keys, instants, columns[DEVICE], columns[SOLICITED], strict=True))

    def _one_by_one(self, events: Sequence[WireEvent], received_at: float) -> list[Row] | None:
        rows: list[Row] = []
        for event in events:
            row = self._row(event, received_at)
            if row is None:
                return None
            rows.append(row)
        return rows

    def _row(self, event: WireEvent, received_at: float) -> Row | None:
        """The row of one event; None if it is not valid."""
        user = event.user
        if check(event) is not None or (user is not None and len(user) > MAX_USER_CHARACTERS):
            return None
        created, sent = read_time("created_at", event.created_at), read_time("sent_at", event.sent_at)
        if isinstance(created, Problem) or isinstance(sent, Problem):
            return None
        return (
            event.event_id,
            event.response_id,
            event.choice,
            event.signal,
            event.operation,
            event.value,
            event.text,
            event.other_response_id,
            event.other_choice,
            self._keys.of_one(user) if user else None,
            derived_at(received_at, created, sent),
            event.device,
            event.solicited,
        )


def _derived(created: Sequence[Any], sent: Sequence[Any], received_at: float) -> list[float] | None:
    """`ingest.ledger.derived_at` of each; None if any time cannot be one. (Most clients send both times as numbers.)"""
    if {*map(type, created), *map(type, sent)} <= _NUMBERS:
        if not _are_times(created) or not _are_times(sent):
            return None
        instants = [received_at - (s - c) for c, s in zip(created, sent, strict=True)]
    else:
        read_created, read_sent = _seconds(created), _seconds(sent)
        if read_created is None or read_sent is None:
            return None
        instants = [
            received_at if c is None else c if s is None else received_at - (s - c)
            for c, s in zip(read_created, read_sent, strict=True)
        ]
    if min(instants) < 0.0 or max(instants) > received_at:
        return [min(max(instant, 0.0), received_at) for instant in instants]
    return instants


def _are_times(seconds: Sequence[float]) -> bool:
    return min(seconds) >= 0.0 and max(seconds) < LATEST_INSTANT


def _seconds(times: Sequence[float | str | None]) -> Sequence[float | None] | None:
    """Unix seconds of times on the wire; None if any cannot be one."""
    try:
        seconds = [_read(time) if isinstance(time, str) else time for time in times]
    except ValueError:
        return None
    given = [time for time in seconds if time is not None]
    return seconds if not given or _are_times(given) else None


def _read(time: str) -> float:
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(time)
    return moment.timestamp()
