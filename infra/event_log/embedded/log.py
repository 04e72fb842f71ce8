"""The embedded event log: one SQLite file in WAL mode, group commit, synchronous=FULL.

Several processes of one host may append and read at the same time. Open it after a fork, never before.
"""

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.contracts.clock import Clock
from infra.event_log.deadlines import Acknowledgement, Deadlines, resolve
from infra.event_log.embedded.consumer import SqliteConsumer, Topic
from infra.event_log.embedded.placing import Append
from infra.event_log.embedded.storage import connect, create, row_id
from infra.event_log.embedded.writer import GroupCommitWriter
from infra.event_log.observing import observe
from infra.event_log.partitioning import place
from infra.event_log.port import EventLogUnavailable, Record, UnknownTopic
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings

_TRIM_ROWS = 1000


class SqliteEventLog:
    """See `port.EventLog`. A topic's identity is a random id made with it, so a replaced file shows."""

    def __init__(self, path: Path, settings: EventLogSettings, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        # Half of the append's patience: a lock that another process holds too long becomes an error with its cause.
        self._busy_seconds = settings.append_timeout_seconds / 2
        create(path, self._busy_seconds)
        self._inode = os.stat(path).st_ino
        self._catalog = connect(path, busy_seconds=self._busy_seconds, durable=True)
        self._catalog.execute("PRAGMA secure_delete = ON")  # what retention deletes is overwritten
        self._catalog_lock = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._closed = False
        self._writer = GroupCommitWriter(path, clock, settings.queue_limit_bytes, self._busy_seconds)
        self._deadlines = Deadlines(settings.append_timeout_seconds)

    def ensure_topic(self, topic: str) -> None:
        with self._catalog_reading() as connection:  # every process asks when it begins: no turn among writers for that
            if connection.execute("SELECT 1 FROM topics WHERE name = ?", (topic,)).fetchone():
                return
        with self._catalog_transaction() as connection:
            made = connection.execute(
                "INSERT INTO topics (name, identity, partitions) VALUES (?, ?, ?) ON CONFLICT DO NOTHING "
                "RETURNING topic_id, partitions",
                (topic, uuid.uuid4().hex, self._settings.partitions),
            ).fetchall()
            for topic_id, partitions in made:
                connection.executemany(
                    "INSERT INTO heads (topic_id, partition, next_offset) VALUES (?, ?, 0)",
                    [(topic_id, partition) for partition in range(partitions)],
                )

    def topic_identity(self, topic: str) -> str:
        return self._topic(topic).identity

    def partitions(self, topic: str) -> int:
        return self._topic(topic).partitions

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        found = self._topic(topic)
        append = Append(
            topic=topic,
            topic_id=found.topic_id,
            records=records,
            partitions=place(records, found.partitions, self._settings.max_record_bytes),
            size=sum(len(record.key) + len(record.value) for record in records),
        )
        if not records:
            resolve(append.future, [])
            return append.future
        observe(topic, records, append.future)
        self._writer.submit(append)
        self._deadlines.watch(append.future)
        return append.future

    def consumer(self, topic: str, group: str) -> SqliteConsumer:
        found = self._topic(topic)
        connection = connect(self._path, busy_seconds=self._busy_seconds, durable=False)
        return SqliteConsumer(connection, found, group, self._settings.session_timeout_seconds, self._writer.committed)

    def healthy(self) -> str | None:
        problem = self._problem()
        catalogue.EVENT_LOG_HEALTHY.set(0 if problem else 1)
        return problem

    def committed(self, topic: str) -> dict[str, dict[int, int]]:
        """What groups have told the log: next offset by group and partition. For retention and tools."""
        found: dict[str, dict[int, int]] = {}
        topic_id = self._topic(topic).topic_id
        with self._catalog_reading() as connection:
            rows = connection.execute(
                "SELECT consumer_group, partition, next_offset FROM committed WHERE topic_id = ?", (topic_id,)
            ).fetchall()
        for group, partition, offset in rows:
            found.setdefault(group, {})[partition] = offset
        return found

    def trim(self, topic: str, before: float, applied: dict[int, int]) -> int:
        """Delete records appended before the instant `before` whose offset is below `applied[partition]`.

        For retention: what consumers have applied and nobody will replay. Works in short transactions, so appends go
        on meanwhile. Returns the number of records deleted; offsets of the others stay.
        """
        found = self._topic(topic)
        return sum(self._trim_partition(found, partition, before, end) for partition, end in applied.items())

    def stored_bytes(self, topic: str) -> int:
        """Bytes of the values of a topic's records that have not been trimmed."""
        found = self._topic(topic)
        bounds = (row_id(found.topic_id, 0, 0), row_id(found.topic_id, found.partitions, 0))
        with self._catalog_reading() as connection:
            total = connection.execute(
                "SELECT coalesce(sum(length(value)), 0) FROM records WHERE id >= ? AND id < ?", bounds
            ).fetchone()[0]
        return int(total)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._deadlines.stop()
        with self._catalog_lock:
            self._catalog.close()

    def _trim_partition(self, topic: Topic, partition: int, before: float, end: int) -> int:
        deleted = 0
        bounds = (row_id(topic.topic_id, partition, 0), row_id(topic.topic_id, partition, end))
        while True:
            with self._catalog_transaction() as connection:
                rows = connection.execute(
                    "SELECT id, timestamp FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                    (*bounds, _TRIM_ROWS),
                ).fetchall()
                old = next((i for i, (_, timestamp) in enumerate(rows) if timestamp >= before), len(rows))
                if old:
                    connection.execute("DELETE FROM records WHERE id >= ? AND id <= ?", (bounds[0], rows[old - 1][0]))
            deleted += old
            if old < _TRIM_ROWS:
                return deleted

    def _topic(self, topic: str) -> Topic:
        """The topic's row. It never changes once made, so it is read once."""
        if topic not in self._topics:
            with self._catalog_reading() as connection:
                row = connection.execute(
                    "SELECT topic_id, name, identity, partitions FROM topics WHERE name = ?", (topic,)
                ).fetchone()
            if row is None:
                raise UnknownTopic(f"topic {topic!r} does not exist in {self._path}: call ensure_topic first")
            self._topics[topic] = Topic(*row)
        return self._topics[topic]

    def _problem(self) -> str | None:
        if self._closed:
            return "the event log is closed"
        if not self._writer.alive():
            return "the event log's writer thread has ended: restart the process"
        try:
            if os.stat(self._path).st_ino != self._inode:
                return f"{self._path} was replaced while it was open: restart the process"
            with self._catalog_reading() as connection:
                connection.execute("SELECT count(*) FROM topics").fetchone()
        except (OSError, EventLogUnavailable) as error:
            return f"{self._path} cannot be read: {error}"
        if failure := self._writer.last_error:
            self._writer.probe()
            return f"the last append to {self._path} failed: {failure}"
        return None

    @contextmanager
    def _catalog_reading(self) -> Iterator[sqlite3.Connection]:
        with self._catalog_lock:
            try:
                yield self._catalog
            except sqlite3.Error as error:
                raise EventLogUnavailable(f"the embedded log {self._path} does not answer: {error}") from error

    @contextmanager
    def _catalog_transaction(self) -> Iterator[sqlite3.Connection]:
        with self._catalog_reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
