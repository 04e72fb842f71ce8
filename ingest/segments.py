"""The log's compact format of feedback: what many events share is said once, the rest are rows without field names.

A record's value is a msgpack array of segments (one front end's events of one request for one partition, or of several
requests that came together):

    [[2, project, received_at, source, [row, row, ...]], ...]

A row is an array of 13: event_id, response_id, choice, signal, operation, value, text, other_response_id,
other_choice, user_key, derived_at, device, solicited. All are there; what an event does not carry is nil. Types and
ranges are those of `infra.contracts.FeedbackEvent`; times are Unix seconds; there is no raw user id. A reader tells
this format from the other one, a JSON array of `FeedbackEvent` objects which anybody may write, by the first byte.
A later format has another number in the first place, and a reader that does not know it keeps the record as a dead
letter.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from ingest.rows import Row
from ingest.rules import Problem, check_ledger_fields

FORMAT = 2
"""The number this format begins with; `schema_version` of a dead letter out of it."""


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """Events that came together."""

    format: Literal[2]
    project: str
    received_at: float
    source: str
    rows: list[Row]


class RawSegment(msgspec.Struct, array_like=True, frozen=True):
    """A segment of which some row cannot be read."""

    format: Literal[2]
    project: str
    received_at: float
    source: str
    rows: list[msgspec.Raw]


_encoder = msgspec.msgpack.Encoder()
_segments = msgspec.msgpack.Decoder(list[Segment])
_raw_segments = msgspec.msgpack.Decoder(list[RawSegment])
_one_row = msgspec.msgpack.Decoder(Row)


def encode_segment(project: str, received_at: float, source: str, rows: Sequence[Row | msgspec.Raw]) -> bytes:
    """One segment, to be put into a record by `join_segments`."""
    return _encoder.encode((FORMAT, project, received_at, source, rows))


def join_segments(segments: Sequence[bytes]) -> bytes:
    """The value of a record that holds these segments."""
    count = len(segments)
    # msgpack: fixarray up to 15 items, array 16, array 32
    head = (
        bytes((0x90 | count,))
        if count < 16
        else b"\xdc" + count.to_bytes(2)
        if count < 1 << 16
        else b"\xdd" + count.to_bytes(4)
    )
    return head + b"".join(segments)


def is_segmented(value: bytes) -> bool:
    """Whether a record's value is of this format."""
    return b"\x90" <= value[:1] <= b"\x9f" or value[:1] in (b"\xdc", b"\xdd")  # the heads of msgpack arrays


def decode_segments(value: bytes) -> list[Segment]:
    """Raises one of `ingest.unreadable` unless everything in it has the right type. Values are not checked."""
    return _segments.decode(value)


def decode_raw_segments(value: bytes) -> list[RawSegment]:
    """As `decode_segments`, with the rows unread."""
    return _raw_segments.decode(value)


def decode_row(raw: bytes | msgspec.Raw) -> Row:
    """One row. Raises one of `ingest.unreadable`."""
    row: Row = _one_row.decode(raw)
    return row


def header_problem(segment: Segment | RawSegment) -> Problem | None:
    """What is wrong with what the events of a segment share, if anything is."""
    return check_ledger_fields(segment.project, None, segment.source, 0.0, segment.received_at)
