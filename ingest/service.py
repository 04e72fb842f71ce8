"""What the feedback API does: bodies into durable records, and labels out of the store."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import msgspec

from infra.contracts import FeedbackEvent, Interaction, Label, PlauditError, stable_hash
from infra.event_log import EventLogUnavailable, Record
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.settings import user_secret
from ingest.access.people import EventLimit
from ingest.appending import Lot
from ingest.codec import INTERACTION_CODEC
from ingest.feedback_log import RECORD_OVERHEAD_BYTES, FeedbackLog
from ingest.imports import to_interaction
from ingest.intake import Intake
from ingest.repository import FeedbackRepository
from ingest.results import AllAccepted, BatchResult, ItemResult
from ingest.rows import EVENT_ID, Row, row_of
from ingest.rules import Problem, id_problem
from ingest.strangers import documents_of, keep, with_documents
from ingest.topics import interactions_topic
from ingest.wire import FEEDBACK, INTERACTIONS, Rejection, WireEvent, to_event

Item = FeedbackEvent | Interaction


class TooMuchInFlight(PlauditError):
    """Items come faster than the log takes them; nothing of this request was accepted."""

    code = "too_much_in_flight"
    status = 429


class LabelNotFound(PlauditError):
    """No label for that answer."""

    code = "label_not_found"
    status = 404


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


class _InteractionLog:
    """Appends interactions, each partition's in records of their own, and waits until they are durable."""

    def __init__(self, context: Context) -> None:
        self._log = context.event_log
        self._topic = interactions_topic(context.settings)
        self._max_bytes = context.settings.event_log.max_record_bytes - RECORD_OVERHEAD_BYTES
        self._partitions = 0

    def records(self, items: Sequence[Interaction]) -> tuple[list[Record], set[int]]:
        """(records, ids of the objects too large for any record)."""
        if not self._partitions:
            self._log.ensure_topic(self._topic)
            self._partitions = self._log.partitions(self._topic)
        by_partition: dict[int, list[Interaction]] = {}
        for item in items:
            by_partition.setdefault(stable_hash(item.response_id, self._partitions), []).append(item)
        records: list[Record] = []
        too_large: set[int] = set()
        for partition, some in by_partition.items():
            self._fill(partition, some, records, too_large)
        return records, too_large

    def _fill(self, partition: int, items: list[Interaction], records: list[Record], too_large: set[int]) -> None:
        value = INTERACTION_CODEC.encode(items)
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
        self._intake = Intake(self._secret)
        self._feedback = FeedbackLog(context)
        self._interactions = _InteractionLog(context)
        self._people = EventLimit(context.settings.access)
        self._in_flight = 0
        metrics.INGEST_IN_FLIGHT.set_function(lambda: self._in_flight)  # read when it is asked for, not at each request
        self._accepted = {kind: metrics.INGEST_ACCEPTED.labels(kind) for kind in ("feedback", "interactions")}

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

    async def accept_feedback(self, body: bytes) -> BatchResult | AllAccepted:
        """Feedback events of a body onto the log; returns when every valid one is durable.

        Raises InvalidBody, TooMuchInFlight, EventLogUnavailable; then nothing counts as accepted, and sending the same
        events again does no harm.
        """
        now, project = self._context.clock.now(), self._context.settings.project
        items = FEEDBACK.parse(body, self._settings.max_batch_events)
        simple = Rejection not in set(map(type, items)) and not self._people.active
        rows = self._intake.rows(cast(list[WireEvent], items), now) if simple else None
        if rows is not None:
            lots, too_large = self._feedback.lots(rows, project, now, "api")
            if not too_large:
                self._depart(len(rows))
                try:
                    await self._feedback.append(lots)
                finally:
                    self._in_flight -= len(rows)
                self._accepted["feedback"].inc(len(rows))
                return AllAccepted([row[EVENT_ID] for row in rows])
        made = [item if isinstance(item, Rejection) else to_event(item, project, self._secret, now) for item in items]
        return await self.accept_events(with_documents(made, project, self._secret, now, {"source": "api"}))

    async def accept_events(self, events: Sequence[FeedbackEvent | Rejection]) -> BatchResult:
        """Events that another door made (browser, other products' shapes), or of which some may be wrong, onto the log;
        as `accept_feedback`, and what is to be kept of refused ones with them (`ingest.strangers`). Raises RateLimited
        as well, when one person's are too many."""
        events = self._people.screened(events, self._context.clock.now())
        rows = {id(event): row_of(event) for event in events if isinstance(event, FeedbackEvent)}
        together: dict[tuple[str, float, str], list[Row]] = {}
        for event in events:
            if isinstance(event, FeedbackEvent):
                together.setdefault((event.project, event.received_at, event.source), []).append(rows[id(event)])
        lots: list[Lot] = []
        too_large: set[int] = set()
        for shared, some in together.items():
            made, excess = self._feedback.lots(some, *shared)
            lots += made
            too_large |= excess
        strange = documents_of(events)
        if lots or strange:
            with self._flight(len(rows) - len(too_large) + len(strange)):
                if lots:
                    await self._feedback.append(lots)
                await keep(self._context, strange)
        return self._answer("feedback", events, {key for key, row in rows.items() if id(row) in too_large})

    async def accept_interactions(self, body: bytes) -> BatchResult:
        """Answers produced elsewhere onto the log; as `accept_feedback`."""
        now, project, secret = self._context.clock.now(), self._context.settings.project, self._secret
        parsed = [
            item if isinstance(item, Rejection) else to_interaction(item, project, secret, now)
            for item in INTERACTIONS.parse(body, self._settings.max_batch_events)
        ]
        valid = [item for item in parsed if not isinstance(item, Rejection)]
        records, too_large = self._interactions.records(valid) if valid else ([], set())
        if records:
            with self._flight(len(valid) - len(too_large)):
                await self._interactions.append(records)
        return self._answer("interactions", parsed, too_large)

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
        return _view(label, pending, list(self._settings.objectives))

    def _depart(self, count: int) -> None:
        """`count` items begin to wait for the log. Raises TooMuchInFlight."""
        limit = self._settings.max_in_flight_events
        if self._in_flight and self._in_flight + count > limit:
            raise TooMuchInFlight(
                f"{self._in_flight} events wait for the log and {count} more would pass the limit of {limit}; "
                f"send the same again after {self._settings.retry_after_seconds} s"
            )
        self._in_flight += count

    @contextmanager
    def _flight(self, count: int) -> Iterator[None]:
        """`count` items wait for the log meanwhile. Raises TooMuchInFlight."""
        self._depart(count)
        try:
            yield
        finally:
            self._in_flight -= count

    def _answer(self, kind: str, items: Sequence[Item | Rejection], too_large: set[int]) -> BatchResult:
        """`too_large`: `id()` of the items that were not sent for their size."""
        results = [_result(kind, item, id(item) in too_large) for item in items]
        accepted = sum([result.status == "accepted" for result in results])
        self._accepted[kind].inc(accepted)
        return BatchResult(accepted, len(results) - accepted, results)


def _result(kind: str, item: Item | Rejection, too_large: bool) -> ItemResult:
    if too_large and not isinstance(item, Rejection):
        problem = Problem("too_large", "the item is larger than a record of the log may be; shorten its texts")
        item = Rejection(item.event_id if isinstance(item, FeedbackEvent) else item.response_id, problem)
    is_feedback = kind == "feedback"
    if isinstance(item, Rejection):
        metrics.INGEST_REJECTED.labels(kind, item.problem.code).inc()
        event_id, response_id = (item.item_id, None) if is_feedback else (None, item.item_id)
        return ItemResult("rejected", event_id, response_id, item.problem)
    if isinstance(item, FeedbackEvent):
        return ItemResult("accepted", item.event_id)
    return ItemResult("accepted", None, item.response_id)


def _view(label: Label, pending: bool, objectives: Sequence[str]) -> LabelView:
    """`objectives`: those in force, of which a provisional label may name only those with a value."""
    named = objectives if label.version == 0 else ()
    return LabelView(
        response_id=label.response_id,
        choice=label.choice,
        status=label.status,
        version=label.version,
        values=dict.fromkeys(named) | label.values,
        weights=dict.fromkeys(named, 0.0) | label.weights,
        events_counted=label.events_counted,
        made_at=label.made_at,
        window_closes_at=label.window_closes_at,
        config_hash=label.config_hash,
        remake_pending=pending,
    )


__all__ = [
    "AllAccepted",
    "BatchResult",
    "EventLogUnavailable",
    "IngestService",
    "ItemResult",
    "LabelNotFound",
    "LabelView",
    "TooMuchInFlight",
]
