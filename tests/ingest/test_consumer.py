"""The consumer on the embedded log and both stores: offsets, watermark, failures that pass and records that do not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from infra.contracts import ManualClock
from infra.db.tables.feedback import consumer_offsets, dead_letters, feedback_events, labels
from infra.event_log import Record
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC
from ingest.consumer import FeedbackConsumer
from ingest.log_repository import LogRepository
from ingest.topics import feedback_topic, interactions_topic
from tests.fixtures.helpers import wait_until
from tests.ingest.builders import START, event, interaction

if TYPE_CHECKING:
    from infra.runtime import Context


def send(context: "Context", *events: Any) -> None:
    topic = feedback_topic(context.settings)
    context.event_log.ensure_topic(topic)
    records = [Record(item.response_id.encode(), FEEDBACK_CODEC.encode([item])) for item in events]
    context.event_log.append(topic, records).result(10)


def serve(context: "Context", *items: Any) -> None:
    topic = interactions_topic(context.settings)
    context.event_log.ensure_topic(topic)
    records = [Record(item.response_id.encode(), INTERACTION_CODEC.encode([item])) for item in items]
    context.event_log.append(topic, records).result(10)


def count(context: "Context", table: Any) -> int:
    with context.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)


def watermark(context: "Context") -> float | None:
    log, topics = context.event_log, (feedback_topic(context.settings), interactions_topic(context.settings))
    with context.database.reading() as connection:
        return LogRepository(connection).watermark(
            context.settings.ingest.consumer_group, {t: (log.topic_identity(t), log.partitions(t)) for t in topics}
        )


def test_feedback_before_and_after_its_interaction(context: "Context", consumer: FeedbackConsumer) -> None:
    send(context, event("r1", "shown"), event("r1", "dwell", value=3.0))
    assert consumer.drain() == 2
    with context.database.reading() as connection:
        before = connection.execute(select(labels)).one()
    assert before.objective_values.get("dwell") is None
    assert before.window_closes_at == START + context.settings.ingest.window_seconds
    serve(context, interaction("r1", user_key="k"))
    send(context, event("r1", "like", user_key="k"))
    assert consumer.drain() == 2
    with context.database.reading() as connection:
        after = connection.execute(select(labels)).one()
    assert after.objective_values["love"] == 1.0  # shown to and liked by the same person
    assert after.window_closes_at == START - 10 + context.settings.ingest.window_seconds


def test_a_second_consumer_reads_on_from_the_store_and_not_from_the_log(context: "Context") -> None:
    first = FeedbackConsumer(context)
    send(context, *(event(f"r{i}") for i in range(20)))
    assert first.drain() == 20
    first.close()
    send(context, event("r1", "copy"))
    second = FeedbackConsumer(context)
    assert second.drain() == 1
    second.close()
    with context.database.transaction() as connection:
        connection.execute(consumer_offsets.delete())
    third = FeedbackConsumer(context)
    assert third.drain() == 21  # everything once more, and nothing counts twice
    third.close()
    assert count(context, feedback_events) == 21
    assert count(context, dead_letters) == 0


def test_the_watermark_follows_an_idle_consumer_and_stops_for_a_late_one(
    context: "Context", consumer: FeedbackConsumer, clock: ManualClock
) -> None:
    serve(context)  # makes the topics
    send(context)
    assert watermark(context) is None
    consumer.drain()
    assert watermark(context) == START
    clock.advance(60.0)
    consumer.drain()
    assert watermark(context) == START + 60
    for topic in consumer.topics:
        topic.close()
    send(context, event("r1"))
    clock.advance(60.0)
    feedback = consumer.topics[1]
    feedback.step()  # joins again
    assert watermark(context) == START + 60  # not read yet: the refresh must not claim it
    consumer.drain()
    assert watermark(context) == START + 120


def test_bad_records_are_set_aside_and_the_batch_lives(context: "Context", consumer: FeedbackConsumer) -> None:
    topic = feedback_topic(context.settings)
    send(context, event("r1"))
    context.event_log.append(topic, [Record(b"r1", b"not json"), Record(b"r1", b'[{"signal":"like"}]')]).result(10)
    send(context, event("r1", "copy"))
    assert consumer.drain() == 4
    assert (count(context, feedback_events), count(context, dead_letters)) == (2, 2)


@contextmanager
def broken(database: Any, error: Exception, times: int) -> Iterator[list[int]]:
    """The database's transactions fail after their work and before their commit, `times` times."""
    left = [times]
    real = database.transaction

    @contextmanager
    def transaction() -> Iterator[Any]:
        with real() as connection:
            yield connection
            if left[0] > 0:
                left[0] -= 1
                raise error

    database.transaction = transaction
    try:
        yield left
    finally:
        del database.transaction


def test_a_store_that_fails_is_tried_again_and_nothing_is_skipped(context: "Context") -> None:
    fast = context.settings.ingest.model_copy(update={"backoff_seconds": 0.01, "consumer_batch_records": 5})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"ingest": fast}))
    consumer, stop = FeedbackConsumer(context), threading.Event()
    send(context, *(event(f"r{i}") for i in range(40)))
    with broken(context.database, OperationalError("INSERT", {}, Exception("connection lost")), 4) as left:
        thread = threading.Thread(target=consumer.run, args=(stop,))
        thread.start()
        try:
            wait_until(lambda: count(context, feedback_events) == 40, 60.0, "40 events in the ledger")
        finally:
            stop.set()
            thread.join(20)
    assert left == [0]
    assert (count(context, dead_letters), count(context, labels)) == (0, 40)


def test_a_record_the_store_will_never_take_does_not_hold_up_the_others(
    context: "Context", consumer: FeedbackConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.writers import Writer

    real = Writer._take_in

    def take_in(writer: Writer, columns: Any) -> None:
        if "poison" in columns[1]:
            raise ValueError("a defect of ours")
        real(writer, columns)

    monkeypatch.setattr(Writer, "_take_in", take_in)
    send(context, event("a"), event("poison"), event("b"))
    assert consumer.drain() == 3
    with context.database.reading() as connection:
        row = connection.execute(select(dead_letters)).one()
    assert (row.reason, row.position) == ("unstorable", -1)
    assert "a defect of ours" in row.detail
    assert b'"poison"' in bytes(row.raw)
    assert count(context, feedback_events) == 2


def test_offsets_never_step_back(context: "Context") -> None:
    with context.database.transaction() as connection:
        repository = LogRepository(connection)
        repository.save_offsets("g", "t", "id", {0: (10, 5.0)})
        repository.save_offsets("g", "t", "id", {0: (7, 6.0)})
        repository.save_offsets("g", "t", "id", {0: (8, 4.0)})
        assert repository.next_offset("g", "t", "id", 0) == 10
        assert repository.next_offset("g", "t", "other", 0) == 0
        assert repository.watermark("g", {"t": ("id", 1)}) == 6.0
        assert repository.watermark("g", {"t": ("id", 2)}) is None


class ScriptedTopic:
    """A topic of which each step reads the number of records it is told."""

    kind = "feedback"

    def __init__(self, came: list[int], stop: "Waits") -> None:
        self._left, self._stop = list(came), stop

    def step(self) -> int:
        came = self._left.pop(0)
        if not self._left:
            self._stop.set()
        return came

    def close(self) -> None:
        pass


class Waits(threading.Event):
    """Remembers what was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return self.is_set()


@pytest.mark.parametrize(("came", "waits"), [([0, 0, 0], 0), ([3, 0, 1], 2), ([5, 5, 5], 0), ([0, 5, 4, 0], 1)])
def test_what_comes_while_records_come_is_gathered_but_neither_silence_nor_a_backlog_waits(
    context: "Context", came: list[int], waits: int
) -> None:
    settings = context.settings.ingest.model_copy(update={"consumer_gather_seconds": 60.0, "consumer_batch_records": 5})
    changed = replace(context, settings=context.settings.model_copy(update={"ingest": settings}))
    stop = Waits()
    FeedbackConsumer(changed)._loop(ScriptedTopic(came, stop), stop)  # type: ignore[arg-type]
    assert len(stop.seconds) == waits
    assert all(50.0 < seconds <= 60.0 for seconds in stop.seconds)
