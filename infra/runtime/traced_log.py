"""The event log with traces: what goes onto it and comes off it gets spans, and records carry `traceparent`.

The rooms know nothing of it. Values are looked into only here, and only where tracing is on: it costs a decoding of
what is appended. See `infra.runtime.tracing`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from infra.contracts import Interaction
from infra.contracts.clock import Clock
from infra.event_log.port import Consumer, Done, EventLog, KeepsFromLoop, KeepsLocally, Position, Record, StoredRecord
from infra.runtime import tracing
from infra.settings import Settings

_interactions = msgspec.msgpack.Decoder(list[Interaction])
_FORMAT_PLACES = 5
"""A segment of feedback is [format, project, received_at, source, rows]; a row begins with event's and answer's ids."""


class TracedLog:
    """See `port.EventLog`."""

    def __init__(self, inner: EventLog, settings: Settings, clock: Clock) -> None:
        self.inner = inner
        self._clock = clock
        prefix = settings.event_log.topic_prefix
        self._interactions, self._feedback = f"{prefix}.interactions", f"{prefix}.feedback"

    def ensure_topic(self, topic: str) -> None:
        self.inner.ensure_topic(topic)

    def topic_identity(self, topic: str) -> str:
        return self.inner.topic_identity(topic)

    def partitions(self, topic: str) -> int:
        return self.inner.partitions(topic)

    def append(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        return self.inner.append(topic, self._traced(topic, records))

    def consumer(self, topic: str, group: str) -> Consumer:
        consumer = self.inner.consumer(topic, group)
        kinds = {self._interactions: "interactions", self._feedback: "feedback"}
        return TracedConsumer(consumer, kinds[topic], self._clock) if topic in kinds else consumer

    def healthy(self) -> str | None:
        return self.inner.healthy()

    def close(self) -> None:
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        """What one kind of log can and another cannot."""
        return getattr(self.inner, name)

    def _traced(self, topic: str, records: Sequence[Record]) -> Sequence[Record]:
        if not tracing.active() or topic not in (self._interactions, self._feedback):
            return records
        spans = _completions if topic == self._interactions else self._accepted
        return [_with(record, spans(record)) for record in records]

    def _accepted(self, record: Record) -> Iterator[tracing.Header]:
        now = self._clock.now()
        for received_at, ids in _answers_of(record.value).items():
            yield from tracing.happened("feedback.accept", ids, min(received_at, now), now).values()


class TracedKeepingLog(TracedLog):
    """The same around a log that is a `port.KeepsLocally` too."""

    _refused: "tuple[Sequence[Record] | None, Sequence[Record]]" = (None, ())

    def keep(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        kept: Future[list[Position]] = self.inner.keep(topic, self._traced_once(topic, records))  # type: ignore[attr-defined]
        return kept

    def _traced_once(self, topic: str, records: Sequence[Record]) -> Sequence[Record]:
        """What `keep_from_loop` did not take has its spans already."""
        asked, traced = self._refused
        self._refused = (None, ())
        return traced if asked is records else self._traced(topic, records)

    def keeping_problem(self) -> str | None:
        problem: str | None = self.inner.keeping_problem()  # type: ignore[attr-defined]
        return problem


class TracedLoopLog(TracedKeepingLog):
    """The same around a log that is a `port.KeepsFromLoop` too."""

    def keep_from_loop(
        self, loop: asyncio.AbstractEventLoop, topic: str, records: Sequence[Record], done: Done
    ) -> bool:
        traced = self._traced(topic, records)
        taken = bool(self.inner.keep_from_loop(loop, topic, traced, done))  # type: ignore[attr-defined]
        self._refused = (None, ()) if taken else (records, traced)
        return taken

    def tend(self) -> None:
        self.inner.tend()  # type: ignore[attr-defined]

    def leave(self) -> None:
        self.inner.leave()  # type: ignore[attr-defined]


def traced_log(inner: EventLog, settings: Settings, clock: Clock) -> TracedLog:
    """The log with traces, able to do what the inner one can."""
    if isinstance(inner, KeepsFromLoop):
        return TracedLoopLog(inner, settings, clock)
    kind = TracedKeepingLog if isinstance(inner, KeepsLocally) else TracedLog
    return kind(inner, settings, clock)


class TracedConsumer:
    """See `port.Consumer`. What was polled is applied once the offsets behind it are committed."""

    def __init__(self, inner: Consumer, kind: str, clock: Clock) -> None:
        self._inner = inner
        self._kind = kind
        self._clock = clock
        self._polled: list[StoredRecord] = []
        self._polled_at = 0.0

    def poll(self, max_records: int, timeout_seconds: float) -> list[StoredRecord]:
        records = self._inner.poll(max_records, timeout_seconds)
        self._polled, self._polled_at = records, self._clock.now()
        return records

    def commit(self, offsets: dict[int, int]) -> None:
        self._inner.commit(offsets)
        done = [record for record in self._polled if record.offset < offsets.get(record.partition, 0)]
        tracing.applied(done, self._kind, self._polled_at, self._clock.now())
        self._polled = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def assignment(self) -> frozenset[int]:
        return self._inner.assignment()

    def newly_assigned(self) -> frozenset[int]:
        return self._inner.newly_assigned()

    def seek(self, partition: int, offset: int) -> None:
        self._inner.seek(partition, offset)

    def position(self, partition: int) -> int:
        return self._inner.position(partition)

    def end_offsets(self) -> dict[int, int]:
        return self._inner.end_offsets()

    def close(self) -> None:
        self._inner.close()


def inner_log(event_log: EventLog) -> EventLog:
    """The log itself, for what asks which kind it is."""
    return event_log.inner if isinstance(event_log, TracedLog) else event_log


def _with(record: Record, headers: Iterator[tracing.Header]) -> Record:
    made = tuple(headers)[: tracing.MAX_A_RECORD]
    return msgspec.structs.replace(record, headers=(*record.headers, *made)) if made else record


def _completions(record: Record) -> Iterator[tracing.Header]:
    try:
        interactions = _interactions.decode(record.value)
    except msgspec.MsgspecError:
        return
    for one in interactions:
        attributes: dict[str, str | int | float] = {
            "plaudit.adapter": one.adapter,
            "plaudit.choices": len(one.answers),
            "plaudit.prompt_tokens": len(one.prompt_token_ids),
            "plaudit.completion_tokens": sum(len(answer.token_ids) for answer in one.answers),
        }
        if one.experiment is not None:
            attributes |= {"plaudit.experiment": one.experiment, "plaudit.arm": one.arm or ""}
        if one.first_token_seconds is not None:
            attributes["plaudit.first_token_seconds"] = one.first_token_seconds
        ended = one.created_at + one.latency_seconds
        yield from tracing.completed(one.response_id, one.created_at, ended, attributes)


def _answers_of(value: bytes) -> dict[float, list[str]]:
    """Ids of answers in a record of feedback, by the instant at which it came; {} of what is not ours to read."""
    found: defaultdict[float, list[str]] = defaultdict(list)
    try:
        segments = msgspec.msgpack.decode(value)
    except msgspec.MsgspecError:
        return {}
    for segment in segments if isinstance(segments, list) else []:
        if isinstance(segment, list) and len(segment) == _FORMAT_PLACES and isinstance(segment[4], list):
            found[float(segment[2])] += [row[1] for row in segment[4] if isinstance(row, list) and len(row) > 1]
    return found
