"""Records of the log: feedback as JSON arrays of `FeedbackEvent` or as segments (`ingest.segments`), interactions as
msgpack arrays of `Interaction`.

Decoding never fails as a whole: what cannot be read becomes a dead letter with its raw bytes, and the rest lives.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from infra.contracts import FeedbackEvent, Interaction
from infra.event_log.port import StoredRecord
from ingest.rows import event_of
from ingest.rules import Problem, check, check_ledger_fields, id_problem
from ingest.segments import (
    FORMAT,
    RawSegment,
    decode_raw_segments,
    decode_row,
    encode_segment,
    header_problem,
    is_segmented,
    join_segments,
)
from ingest.unreadable import UNREADABLE

T = TypeVar("T")
V = TypeVar("V")

WHOLE_RECORD = -1
"""Position of a dead letter that is a whole record."""
_LETTERS = uuid.UUID("0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70")
"""Namespace of dead-letter ids: the same bytes at the same place are one letter, however often they are read."""


class Placed(NamedTuple, Generic[T]):
    """A decoded item and where it stands."""

    item: T
    record: StoredRecord
    position: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that could not be applied. `reason`: undecodable, conflict or unstorable; `project` may be empty."""

    letter_id: str
    project: str
    topic: str
    partition: int
    log_offset: int
    position: int
    raw: bytes
    reason: str
    detail: str
    schema_version: int
    received_at: float


class _Header(msgspec.Struct):
    project: str = ""
    schema_version: int = 0


class Codec(Generic[T]):
    """Encoding of one topic."""

    def __init__(self, item: type[T], *, binary: bool, problem: Callable[[T], Problem | None]) -> None:
        self._problem = problem
        self._binary = binary
        kind = list[item]  # type: ignore[valid-type]
        self._many: Callable[[bytes], list[T]]
        self._one: Callable[[bytes], T]
        if binary:
            self._many, self._one = msgspec.msgpack.Decoder(kind).decode, msgspec.msgpack.Decoder(item).decode
        else:
            self._many, self._one = msgspec.json.Decoder(kind).decode, msgspec.json.Decoder(item).decode

    def encode(self, items: Sequence[T]) -> bytes:
        """The value of one record."""
        return msgspec.msgpack.encode(items) if self._binary else msgspec.json.encode(items)

    def wrap(self, raw: bytes) -> bytes:
        """A record value that holds one item of which only the bytes are known."""
        return b"\x91" + raw if self._binary else b"[" + raw + b"]"

    def decode(self, record: StoredRecord) -> tuple[list[Placed[T]], list[DeadLetter]]:
        """Valid items with their positions, and dead letters for everything else."""
        try:
            items = self._many(record.value)
        except UNREADABLE as error:
            return self._salvage(record, error)
        placed: list[Placed[T]] = []
        letters: list[DeadLetter] = []
        for position, item in enumerate(items):
            problem = self._problem(item)
            if problem is None:
                placed.append(Placed(item, record, position))
            else:
                letters.append(self.letter(record, position, "undecodable", problem.message))
        return placed, letters

    def letter(self, record: StoredRecord, position: int, reason: str, detail: str) -> DeadLetter:
        """A dead letter for the item at `position`, or for the whole record."""
        raw = record.value if position == WHOLE_RECORD else self._pieces(record.value)[position]
        header = self._header(raw)
        place = f"{record.topic}/{record.partition}/{record.offset}/{position}/{reason}"
        return DeadLetter(
            letter_id=str(uuid.uuid5(_LETTERS, f"{place}/{hashlib.sha256(raw).hexdigest()}")),
            project=header.project if len(header.project) <= 63 and "\0" not in header.project else "",
            topic=record.topic,
            partition=record.partition,
            log_offset=record.offset,
            position=position,
            raw=raw,
            reason=reason,
            detail=detail.replace("\0", "\\0")[:1000],
            schema_version=max(0, min(header.schema_version, 2**31 - 1)),
            received_at=record.timestamp,
        )

    def _salvage(self, record: StoredRecord, error: Exception) -> tuple[list[Placed[T]], list[DeadLetter]]:
        try:
            raws = self._raws(record.value)
        except UNREADABLE:
            return [], [self.letter(record, WHOLE_RECORD, "undecodable", str(error))]
        placed: list[Placed[T]] = []
        letters: list[DeadLetter] = []
        for position, raw in enumerate(raws):
            try:
                item = self._one(raw)
            except UNREADABLE as reason:
                letters.append(self.letter(record, position, "undecodable", str(reason)))
                continue
            problem = self._problem(item)
            if problem is None:
                placed.append(Placed(item, record, position))
            else:
                letters.append(self.letter(record, position, "undecodable", problem.message))
        return placed, letters

    def _pieces(self, value: bytes) -> list[bytes]:
        return [bytes(raw) for raw in self._raws(value)]

    def _raws(self, value: bytes) -> list[msgspec.Raw]:
        return self._decode(value, list[msgspec.Raw])

    def _decode(self, raw: bytes, kind: type[V]) -> V:
        return msgspec.msgpack.decode(raw, type=kind) if self._binary else msgspec.json.decode(raw, type=kind)

    def _header(self, raw: bytes) -> _Header:
        try:
            return self._decode(raw, _Header)
        except UNREADABLE:
            return _Header()


def _event_problem(event: FeedbackEvent) -> Problem | None:
    return check(event) or check_ledger_fields(
        event.project, event.user_key, event.source, event.derived_at, event.received_at
    )


def _read(segment: RawSegment, raw: msgspec.Raw) -> FeedbackEvent | Problem:
    """The event of one row, or what is wrong with it or with what its segment says of all."""
    if (problem := header_problem(segment)) is not None:
        return problem
    try:
        event = event_of((*decode_row(raw), segment.project, segment.received_at, segment.source), FORMAT)
    except UNREADABLE as error:
        return Problem("undecodable", str(error))
    return _event_problem(event) or event


_BOUNDED = {"adapter": 80, "experiment": 64, "arm": 16, "user_key": 64, "source": 16}


def _interaction_problem(interaction: Interaction) -> Problem | None:
    for name, longest in _BOUNDED.items():
        value = getattr(interaction, name)
        if value is not None and (len(value) > longest or "\0" in value):
            return Problem("invalid_value", f"{name} is {value[:100]!r}; at most {longest} characters", name)
    created = interaction.created_at
    return (
        check_ledger_fields(interaction.project, None, "", created, created)
        or id_problem("response_id", interaction.response_id)
        or id_problem("conversation_id", interaction.conversation_id)
    )


class FeedbackCodec(Codec[FeedbackEvent]):
    """Feedback comes in two formats: JSON arrays of events, and the segments that our own front end writes."""

    def __init__(self) -> None:
        super().__init__(FeedbackEvent, binary=False, problem=_event_problem)

    def wrap(self, raw: bytes) -> bytes:
        return raw if is_segmented(raw) else super().wrap(raw)

    def decode(self, record: StoredRecord) -> tuple[list[Placed[FeedbackEvent]], list[DeadLetter]]:
        if not is_segmented(record.value):
            return super().decode(record)
        try:
            segments = decode_raw_segments(record.value)
        except UNREADABLE as error:
            return [], [self.letter(record, WHOLE_RECORD, "undecodable", str(error))]
        placed: list[Placed[FeedbackEvent]] = []
        letters: list[DeadLetter] = []
        for position, (shared, raw) in enumerate((segment, raw) for segment in segments for raw in segment.rows):
            event = _read(shared, raw)
            if isinstance(event, Problem):
                letters.append(self.letter(record, position, "undecodable", event.message))
            else:
                placed.append(Placed(event, record, position))
        return placed, letters

    def _pieces(self, value: bytes) -> list[bytes]:
        """Each event as the bytes of a dead letter: a row gets a record of its own, so that it can be sent again."""
        if not is_segmented(value):
            return super()._pieces(value)
        return [
            join_segments([encode_segment(segment.project, segment.received_at, segment.source, [raw])])
            for segment in decode_raw_segments(value)
            for raw in segment.rows
        ]

    def _header(self, raw: bytes) -> _Header:
        if not is_segmented(raw):
            return super()._header(raw)
        try:
            return _Header(next((segment.project for segment in decode_raw_segments(raw)), ""), FORMAT)
        except UNREADABLE:
            return _Header()


FEEDBACK_CODEC = FeedbackCodec()
INTERACTION_CODEC = Codec(Interaction, binary=True, problem=_interaction_problem)


_TIMES: dict[str, Any] = {"created_at": 0.0, "latency_seconds": 0.0, "first_token_seconds": None}
_LATER_FIELDS = {"duel": None, "honeypot": None, "redacted": False, "why": ""}
"""Fields that came after the first version, with what stands for their absence: left out then, so that an interaction
sent again by a newer gateway has the hash that an older consumer gave it."""


def interaction_hash(interaction: Interaction) -> bytes:
    """8 bytes that tell whether two interactions of one id are the same. Times are left out: who sends again, or
    receives again, does not say anything new."""
    fields = msgspec.structs.asdict(interaction) | _TIMES
    for name, absent in _LATER_FIELDS.items():
        if fields[name] == absent:
            del fields[name]
    return hashlib.blake2b(msgspec.msgpack.encode(fields), digest_size=8).digest()
