"""What a record of the log says about whom, in every format the topics carry, and the record without some of it.

Reading is lenient: what the consumer would put aside as a dead letter is looked at as bytes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ingest.erasure.tombstones import Trace
from ingest.rows import EVENT_ID, OTHER, RESPONSE_ID, USER_KEY
from ingest.segments import is_segmented
from ingest.unreadable import UNREADABLE


class Item(NamedTuple):
    """One item of a record. `trace` is None where it cannot be read; then `raw` says what there is."""

    project: str
    trace: Trace | None
    raw: bytes


@dataclass(frozen=True)
class Items:
    """A record as a list of items; `without(positions)` is its value when these are taken out."""

    items: Sequence[Item]
    without: Callable[[Collection[int]], bytes]


class _Event(msgspec.Struct):
    response_id: str
    project: str
    received_at: float
    event_id: str
    other_response_id: str | None = None
    user_key: str | None = None


class _Interaction(msgspec.Struct):
    response_id: str
    project: str
    created_at: float
    user_key: str | None = None


def read_feedback(value: bytes) -> Items:
    """A record of the topic of feedback: segments, or a JSON array of events."""
    try:
        return _segments(value) if is_segmented(value) else _array(value, msgspec.json, _event)
    except UNREADABLE:
        return _whole(value, b"[]")


def read_interactions(value: bytes) -> Items:
    """A record of the topic of interactions: a msgpack array."""
    try:
        return _array(value, msgspec.msgpack, _interaction)
    except UNREADABLE:
        return _whole(value, b"\x90")


def _array(value: bytes, codec: Any, read: Callable[[bytes], tuple[str, Trace]]) -> Items:
    raws: list[bytes] = [bytes(raw) for raw in codec.decode(value, type=list[msgspec.Raw])]
    items: list[Item] = []
    for raw in raws:
        try:
            project, trace = read(raw)
        except UNREADABLE:
            items.append(Item("", None, raw))
        else:
            items.append(Item(project, trace, raw))

    def without(positions: Collection[int]) -> bytes:
        kept: bytes = codec.encode([msgspec.Raw(raw) for i, raw in enumerate(raws) if i not in positions])
        return kept

    return Items(items, without)


def _event(raw: bytes) -> tuple[str, Trace]:
    event = _decode_event(raw)
    return event.project, Trace(
        event.event_id, event.response_id, event.other_response_id, event.user_key, event.received_at
    )


def _interaction(raw: bytes) -> tuple[str, Trace]:
    one = _decode_interaction(raw)
    return one.project, Trace(None, one.response_id, None, one.user_key, one.created_at)


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_interaction = msgspec.msgpack.Decoder(_Interaction).decode


def _segments(value: bytes) -> Items:
    segments: list[list[Any]] = msgspec.msgpack.decode(value)
    items: list[Item] = []
    places: list[tuple[int, int]] = []
    for at, segment in enumerate(segments):
        if not (isinstance(segment, list) and len(segment) == 5 and isinstance(segment[4], list)):
            raise msgspec.DecodeError("no segment")
        for index, row in enumerate(segment[4]):
            places.append((at, index))
            items.append(_row(row, segment))

    def without(positions: Collection[int]) -> bytes:
        gone = {places[position] for position in positions}
        kept = [
            [*segment[:4], [row for index, row in enumerate(segment[4]) if (at, index) not in gone]]
            for at, segment in enumerate(segments)
        ]
        return msgspec.msgpack.encode([segment for segment in kept if segment[4]])

    return Items(items, without)


def _row(row: Any, segment: Sequence[Any]) -> Item:
    if type(row) is list and len(row) > USER_KEY and type(segment[1]) is str and type(segment[2]) in (int, float):
        event_id, response_id, other, user_key = row[EVENT_ID], row[RESPONSE_ID], row[OTHER], row[USER_KEY]
        if (
            type(event_id) is str
            and type(response_id) is str
            and (other is None or type(other) is str)
            and (user_key is None or type(user_key) is str)
        ):
            return Item(segment[1], Trace(event_id, response_id, other, user_key, segment[2]), b"")
    return Item("", None, msgspec.msgpack.encode(row))


def _whole(value: bytes, empty: bytes) -> Items:
    return Items([Item("", None, value)], lambda positions: empty if positions else value)
