"""What the feedback API does: bodies into durable records, and labels out of the store."""

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from infra.contracts import FeedbackEvent, Interaction, Label, PlauditError, stable_hash
from infra.event_log import EventLogUnavailable, Record
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.settings import user_secret
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC, Codec
from ingest.imports import to_interaction
from ingest.repository import FeedbackRepository
from ingest.rules import Problem, id_problem
from ingest.topics import feedback_topic, interactions_topic
from ingest.wire import FEEDBACK, INTERACTIONS, Rejection, to_event

T = TypeVar("T", FeedbackEvent, Interaction)

_RECORD_OVERHEAD_BYTES = 1024
"""Room left in a record for its key and headers."""


class TooMuchInFlight(PlauditError):
    """Items come faster than the log takes them; nothing of this request was accepted."""

    code = "too_much_in_flight"
    status = 429


class LabelNotFound(PlauditError):
    """No label for that answer."""

    code = "label_not_found"
    status = 404


class ItemResult(msgspec.Struct, omit_defaults=True):
    """What became of one item. `event_id` for feedback, `response_id` for interactions."""

    status: Literal["accepted", "rejected"]
    event_id: str | None = None
    response_id: str | None = None
    error: Problem | None = None


class BatchResult(msgspec.Struct):
    """The answer to a batch: one result an item, in the order of the request."""

    accepted: int
    rejected: int
    results: list[ItemResult]

    @property
    def status(self) -> int:
        """202 if anything was accepted (then it is durable), 422 if everything was refused."""
        return 202 if self.accepted else 422


class LabelView(msgspec.Struct):
    """A label as the API shows it. `remake_pending`: later events arrived and will make a new final version."""

    response_id: str
    choice: int
    status: str
    version: int
    values: dict[str, float | None]
    weights: dict[str, float]
    events_counted: int
    made_at: float
    window_closes_at: float
    config_hash: str
    remake_pending: bool


class _Appender(Generic[T]):
    """Appends items of one topic, each partition's in records of their own, and waits until they are durable."""

    def __init__(self, context: Context, topic: str, codec: Codec[T]) -> None:
        self._log = context.event_log
        self._topic = topic
        self._codec: Codec[T] = codec
        self._max_bytes = context.settings.event_log.max_record_bytes - _RECORD_OVERHEAD_BYTES
        self._partitions = 0

    def records(self, items: Sequence[T]) -> tuple[list[Record], set[int]]:
        """(records, ids of the objects too large for any record)."""
        if not self._partitions:
            self._log.ensure_topic(self._topic)
            self._partitions = self._log.partitions(self._topic)
        by_partition: dict[int, list[T]] = {}
        for item in items:
            by_partition.setdefault(stable_hash(item.response_id, self._partitions), []).append(item)
        records: list[Record] = []
        too_large: set[int] = set()
        for partition, some in by_partition.items():
            self._fill(partition, some, records, too_large)
        return records, too_large

    def _fill(self, partition: int, items: list[T], records: list[Record], too_large: set[int]) -> None:
        value = self._codec.encode(items)
        if len(value) <= self._max_bytes:
            records.append(Record(key=items[0].response_id.encode(), value=value, partition=partition))
        elif len(items) == 1:
            too_large.add(id(items[0]))
        else:
            middle = len(items) // 2
            self._fill(partition, items[:middle], records, too_large)
            self._fill(partition, items[middle:], records, too_large)

    async def append(self, records: list[Record]) -> None:
        """Resolves when all are durable. Raises EventLogUnavailable."""
        await asyncio.wrap_future(self._log.append(self._topic, records))


class IngestService:
    """One a process. Its coroutines belong to one event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings.ingest
        self._secret = user_secret(context.settings)
        self._feedback = _Appender(context, feedback_topic(context.settings), FEEDBACK_CODEC)
        self._interactions = _Appender(context, interactions_topic(context.settings), INTERACTION_CODEC)
        self._in_flight = 0

    @property
    def context(self) -> Context:
        """What this process works on: settings, clock, store, log."""
        return self._context

    @property
    def secret(self) -> bytes:
        """The deployment secret under which user ids become user keys."""
        return self._secret

    @property
    def retry_after_seconds(self) -> int:
        return self._settings.retry_after_seconds

    @property
    def max_body_bytes(self) -> int:
        return self._settings.max_body_bytes

    async def accept_feedback(self, body: bytes) -> BatchResult:
        """Feedback events of a body onto the log; returns when every valid one is durable.

        Raises InvalidBody, TooMuchInFlight, EventLogUnavailable; then nothing counts as accepted, and sending the same
        events again does no harm.
        """
        now, project, secret = self._context.clock.now(), self._context.settings.project, self._secret
        parsed = [
            item if isinstance(item, Rejection) else to_event(item, project, secret, now)
            for item in FEEDBACK.parse(body, self._settings.max_batch_events)
        ]
        return await self._accept("feedback", self._feedback, parsed, "event_id")

    async def accept_events(self, events: Sequence[FeedbackEvent | Rejection]) -> BatchResult:
        """Events that another door made (browser, other products' shapes) onto the log; as `accept_feedback`."""
        return await self._accept("feedback", self._feedback, list(events), "event_id")

    async def accept_interactions(self, body: bytes) -> BatchResult:
        """Answers produced elsewhere onto the log; as `accept_feedback`."""
        now, project, secret = self._context.clock.now(), self._context.settings.project, self._secret
        parsed = [
            item if isinstance(item, Rejection) else to_interaction(item, project, secret, now)
            for item in INTERACTIONS.parse(body, self._settings.max_batch_events)
        ]
        return await self._accept("interactions", self._interactions, parsed, "response_id")

    def label(self, response_id: str, choice: int) -> LabelView:
        """The current label of an answer. Raises LabelNotFound. Blocks on the store."""
        problem = id_problem("response_id", response_id)
        if problem is not None:
            raise LabelNotFound(problem.message, field="response_id")
        with self._context.database.reading() as connection:
            repository = FeedbackRepository(connection, self._context.settings.project)
            label, pending = repository.current_label(response_id, choice)
        if label is None:
            raise LabelNotFound(
                f"no label for choice {choice} of {response_id}: there is one from the first feedback event on, "
                "about a second after POST /v1/feedback accepted it",
                field="response_id",
            )
        return _view(label, pending)

    async def _accept(
        self, kind: str, appender: _Appender[T], parsed: list[T | Rejection], id_field: str
    ) -> BatchResult:
        valid = [item for item in parsed if not isinstance(item, Rejection)]
        records, too_large = appender.records(valid) if valid else ([], set())
        if records:
            await self._append(kind, appender, records, len(valid) - len(too_large))
        results = [self._result(kind, item, id_field, too_large) for item in parsed]
        accepted = len(valid) - len(too_large)
        metrics.INGEST_ACCEPTED.labels(kind).inc(accepted)
        return BatchResult(accepted, len(parsed) - accepted, results)

    async def _append(self, kind: str, appender: _Appender[Any], records: list[Record], count: int) -> None:
        limit = self._settings.max_in_flight_events
        if self._in_flight and self._in_flight + count > limit:
            raise TooMuchInFlight(
                f"{self._in_flight} events wait for the log and {count} more would pass the limit of {limit}; "
                f"send the same again after {self._settings.retry_after_seconds} s"
            )
        self._in_flight += count
        metrics.INGEST_IN_FLIGHT.set(self._in_flight)
        try:
            await appender.append(records)
        finally:
            self._in_flight -= count
            metrics.INGEST_IN_FLIGHT.set(self._in_flight)

    def _result(self, kind: str, item: Any, id_field: str, too_large: set[int]) -> ItemResult:
        if id(item) in too_large:
            problem = Problem("too_large", "the item is larger than a record of the log may be; shorten its texts")
            item = Rejection(getattr(item, id_field), problem)
        if isinstance(item, Rejection):
            metrics.INGEST_REJECTED.labels(kind, item.problem.code).inc()
            return ItemResult("rejected", error=item.problem, **{id_field: item.item_id})
        if id_field == "event_id":
            return ItemResult("accepted", item.event_id)
        return ItemResult("accepted", None, item.response_id)


def _view(label: Label, pending: bool) -> LabelView:
    return LabelView(
        response_id=label.response_id,
        choice=label.choice,
        status=label.status,
        version=label.version,
        values=label.values,
        weights=label.weights,
        events_counted=label.events_counted,
        made_at=label.made_at,
        window_closes_at=label.window_closes_at,
        config_hash=label.config_hash,
        remake_pending=pending,
    )


__all__ = [
    "BatchResult",
    "EventLogUnavailable",
    "IngestService",
    "ItemResult",
    "LabelNotFound",
    "LabelView",
    "TooMuchInFlight",
]
