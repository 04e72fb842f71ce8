"""The consumer: both topics of the log into the store, with exactly-once effect.

A polled batch and the offsets after it are one transaction of the store. On assignment a partition is read on from the
offset in the store; what the log itself remembers about the group serves lag tools only. When the store or the log
fails, the consumer waits, goes back to the stored offsets and tries again: it never skips.
"""

import threading
import time
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra.contracts import PlauditError
from infra.db import StoreUnavailable
from infra.event_log import Consumer, PartitionNotAssigned, StoredRecord
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from ingest.apply import Applied, Handler
from ingest.codec import WHOLE_RECORD
from ingest.erasure.handler import ERASURE_HANDLER
from ingest.erasure.message import erasures_topic
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import Labelling
from ingest.log_repository import LogRepository
from ingest.topics import feedback_topic, interactions_topic

log = structlog.get_logger()

_TRANSIENT = (OperationalError, InterfaceError, InternalError, PoolTimeout, PlauditError, OSError, MemoryError)
"""Failures of store or log that pass: try again. Any other one lies in the records: they are set aside."""

STALE_SECONDS = 180.0
"""A topic not looked at for so long hangs: more than the longest pause, transaction and rebalance together."""


class TopicConsumer:
    """One member of the group on one topic. Not for use by several threads at once."""

    def __init__(self, context: Context, handler: Handler, topic: str, labelling: Labelling) -> None:
        self.kind = handler.kind
        self._context = context
        self._settings = context.settings.ingest
        self._handler = handler
        self._topic = topic
        self._labelling = labelling
        self._consumer: Consumer | None = None
        self._identity = ""
        self._rewind = False
        self._refreshed_at = 0.0

    def step(self) -> int:
        """Poll once and apply what came; returns the number of records. Raises what store or log raise."""
        consumer = self._opened()
        if self._rewind:
            self._seek_stored(consumer, consumer.assignment())
            self._rewind = False
        polled_at = self._context.clock.now()
        records = consumer.poll(self._settings.consumer_batch_records, self._settings.poll_seconds)
        self._seek_stored(consumer, consumer.newly_assigned())
        if records:
            self._apply(records, polled_at)
            self._tell_log(consumer, records)
        if time.monotonic() - self._refreshed_at >= self._settings.watermark_refresh_seconds:
            self.refresh_watermark()
        return len(records)

    def refresh_watermark(self) -> int:
        """Write down that partitions read to their end are up to date as of now; returns the records still to read."""
        consumer = self._opened()
        self._notice_new_topic(consumer)
        now = self._context.clock.now()  # before the ends are asked for: what comes after that is not promised
        ends = consumer.end_offsets()
        positions = {partition: consumer.position(partition) for partition in sorted(consumer.assignment())}
        lags = {partition: max(0, ends[partition] - position) for partition, position in positions.items()}
        reached = {partition: (positions[partition], now) for partition, lag in lags.items() if lag == 0}
        if reached:
            with self._context.database.transaction() as connection:
                LogRepository(connection).save_offsets(
                    self._settings.consumer_group, self._topic, self._identity, reached
                )
        if reached and len(reached) == len(positions):
            metrics.INGEST_WATERMARK.labels(self.kind).set(now)
        metrics.INGEST_LAG.labels(self.kind).set(sum(lags.values()))
        self._refreshed_at = time.monotonic()
        return sum(lags.values())

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions this member reads now."""
        return self._consumer.assignment() if self._consumer is not None else frozenset()

    def recover(self, error: Exception) -> None:
        """After a failed step: forget what is in doubt. The next step begins at the stored offsets."""
        metrics.INGEST_CONSUMER_FAILURES.labels(self.kind, type(error).__name__).inc()
        self._rewind = True
        if not isinstance(error, SQLAlchemyError | StoreUnavailable):
            self.close()  # the log's side may be broken: join the group anew

    def close(self) -> None:
        """Leave the group. A later step joins again."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            consumer.close()
        except Exception as error:
            log.warning("consumer_close_failed", topic=self._topic, error=str(error))

    def _opened(self) -> Consumer:
        if self._consumer is None:
            event_log = self._context.event_log
            event_log.ensure_topic(self._topic)
            self._identity = event_log.topic_identity(self._topic)
            self._consumer = event_log.consumer(self._topic, self._settings.consumer_group)
        return self._consumer

    def _seek_stored(self, consumer: Consumer, partitions: frozenset[int]) -> None:
        if not partitions:
            return
        group = self._settings.consumer_group
        with self._context.database.reading() as connection:
            repository = LogRepository(connection)
            stored = {p: repository.next_offset(group, self._topic, self._identity, p) for p in sorted(partitions)}
        for partition, offset in stored.items():
            try:
                consumer.seek(partition, offset)
            except PartitionNotAssigned:
                continue  # it went to another member meanwhile, which seeks for itself

    def _notice_new_topic(self, consumer: Consumer) -> None:
        identity = self._context.event_log.topic_identity(self._topic)
        if identity != self._identity:
            log.warning("topic_made_anew", topic=self._topic, before=self._identity, now=identity)
            self._identity = identity
            self._seek_stored(consumer, consumer.assignment())

    def _apply(self, records: Sequence[StoredRecord], polled_at: float) -> None:
        """Apply records in one transaction. If their content breaks it, one by one; one that does so alone is set aside
        whole, as a dead letter."""
        try:
            self._transact(records, polled_at)
        except _TRANSIENT:
            raise
        except Exception as error:
            if len(records) > 1:
                for record in records:
                    self._apply([record], polled_at)
                return
            log.exception("record_unstorable", topic=self._topic, offset=records[0].offset)
            letter = self._handler.codec.letter(
                records[0], WHOLE_RECORD, "unstorable", f"{type(error).__name__}: {error}"
            )
            self._transact(records, polled_at, Applied(letters=[letter]))

    def _transact(self, records: Sequence[StoredRecord], polled_at: float, set_aside: Applied | None = None) -> None:
        started = time.perf_counter()
        # The last record of each partition; everything appended before it has been applied with this batch.
        last = {record.partition: record for record in records}
        offsets = {p: (record.offset + 1, min(polled_at, record.timestamp)) for p, record in last.items()}
        with self._context.database.transaction() as connection:
            repository = LogRepository(connection)
            if set_aside is None:
                applied = self._handler.apply(connection, records, self._labelling, self._context.clock.now())
            else:
                applied = set_aside
                repository.insert_letters(applied.letters)
            repository.save_offsets(self._settings.consumer_group, self._topic, self._identity, offsets)
        self._count(applied, time.perf_counter() - started)
        oldest = min(record.timestamp for record in records)
        metrics.INGEST_APPLY_DELAY.labels(self.kind).observe(max(0.0, self._context.clock.now() - oldest))

    def _count(self, applied: Applied, seconds: float) -> None:
        metrics.INGEST_APPLY_SECONDS.labels(self.kind).observe(seconds)
        metrics.INGEST_APPLIED.labels(self.kind).inc(applied.new)
        metrics.INGEST_DUPLICATES.labels(self.kind).inc(applied.duplicates)
        metrics.ERASED_REFUSED.labels(self.kind).inc(applied.erased)
        metrics.INGEST_LABELS.labels("provisional").inc(applied.labels)
        for letter in applied.letters:
            metrics.INGEST_DEAD_LETTERS.labels(self.kind, letter.reason).inc()
            log.warning("dead_letter", letter_id=letter.letter_id, reason=letter.reason, topic=letter.topic)

    def _tell_log(self, consumer: Consumer, records: Sequence[StoredRecord]) -> None:
        try:
            consumer.commit({record.partition: record.offset + 1 for record in records})
        except Exception as error:
            log.warning("log_commit_failed", topic=self._topic, error=str(error))


class FeedbackConsumer:
    """Both topics, each in a thread of its own: the service `plaudit ingest consume`."""

    def __init__(self, context: Context) -> None:
        labelling = Labelling.of(context.settings.ingest)
        self._settings = context.settings.ingest
        self._beats: dict[str, float] = {}
        self.topics = (
            TopicConsumer(context, INTERACTION_HANDLER, interactions_topic(context.settings), labelling),
            TopicConsumer(context, FEEDBACK_HANDLER, feedback_topic(context.settings), labelling),
            TopicConsumer(context, ERASURE_HANDLER, erasures_topic(context.settings), labelling),
        )

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, whatever fails meanwhile."""
        threads = [
            threading.Thread(target=self._loop, args=(topic, stop), name=f"consume-{topic.kind}")
            for topic in self.topics
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def alive(self) -> str | None:
        """None while every topic is looked at again and again, whether it can be read or not: for liveness. Failures of
        store and log pass, and are no reason to start anew; a thread that hangs, or has ended, is one."""
        oldest = min(self._beats.values(), default=time.monotonic())
        age = time.monotonic() - oldest
        return None if age < STALE_SECONDS else f"a topic has not been looked at for {age:.0f} s"

    def drain(self, timeout_seconds: float = 60.0) -> int:
        """Consume until nothing is left to read, then refresh the watermark; returns the number of records. For tests,
        tools and replays; raises TimeoutError if new records keep coming."""
        deadline = time.monotonic() + timeout_seconds
        total = 0
        while True:
            came = sum(topic.step() for topic in self.topics)
            total += came
            if came == 0 and all(topic.assigned and topic.refresh_watermark() == 0 for topic in self.topics):
                return total
            if time.monotonic() > deadline:
                raise TimeoutError(f"the log was not drained within {timeout_seconds} s ({total} records so far)")

    def close(self) -> None:
        """Leave both groups."""
        for topic in self.topics:
            topic.close()

    def _loop(self, topic: TopicConsumer, stop: threading.Event) -> None:
        pause = self._settings.backoff_seconds
        while not stop.is_set():
            begun = self._beats[topic.kind] = time.monotonic()
            try:
                if 0 < topic.step() < self._settings.consumer_batch_records:
                    # Nothing waits: what comes meanwhile shares the next transaction. What comes after a quiet spell
                    # goes at once.
                    stop.wait(max(0.0, begun + self._settings.consumer_gather_seconds - time.monotonic()))
                pause = self._settings.backoff_seconds
            except Exception as error:
                log.error("consumer_failed", kind=topic.kind, error=str(error), error_type=type(error).__name__)
                topic.recover(error)
                stop.wait(pause)
                pause = min(2 * pause, self._settings.max_backoff_seconds)
        topic.close()
