"""The embedded log's consumer: range scans by row id, woken by commits of this process and of others."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from infra.event_log.embedded.group import Membership
from infra.event_log.embedded.storage import offset_of, row_id
from infra.event_log.embedded.writer import CommitSignal
from infra.event_log.port import POLL_BYTES, EventLogUnavailable, PartitionNotAssigned, StoredRecord
from infra.metrics import catalogue

LOOK_EVERY_SECONDS = 0.02
"""How often a waiting poll looks for commits of other processes; those of its own wake it at once."""

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


@dataclass(frozen=True)
class Topic:
    """A row of the topics table."""

    topic_id: int
    name: str
    identity: str
    partitions: int


class SqliteConsumer:
    """See `port.Consumer`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        topic: Topic,
        group: str,
        session_seconds: float,
        committed: CommitSignal,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._group = group
        self._membership = Membership(connection, topic.topic_id, group, topic.partitions, session_seconds)
        self._commits = committed
        self._assigned: frozenset[int] = frozenset()
        self._fresh: set[int] = set()
        self._sought: set[int] = set()
        self._positions: dict[int, int] = {}
        self._turn = 0
        self._closed = False

    def poll(self, max_records: int, timeout_seconds: float) -> list[StoredRecord]:
        deadline = time.monotonic() + timeout_seconds
        with self._errors_named():
            seen_version = -1
            while True:
                if self._membership.due() and self._renew():
                    return []
                seen_commits = self._commits.count()
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
                if version != seen_version:
                    seen_version = version
                    if records := self._read(max_records):
                        return records
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return []
                self._commits.wait_beyond(seen_commits, min(remaining, LOOK_EVERY_SECONDS))

    def assignment(self) -> frozenset[int]:
        return self._assigned

    def newly_assigned(self) -> frozenset[int]:
        fresh = frozenset(self._fresh - self._sought)
        self._fresh.clear()
        return fresh

    def seek(self, partition: int, offset: int) -> None:
        self._require(partition)
        self._positions[partition] = offset
        self._sought.add(partition)

    def position(self, partition: int) -> int:
        self._require(partition)
        if partition not in self._positions:
            with self._errors_named():
                self._positions[partition] = self._start_of(partition)
        return self._positions[partition]

    def commit(self, offsets: dict[int, int]) -> None:
        with self._errors_named():
            # Autocommit, row by row: a torn set of committed offsets does no harm, they are for lag tools.
            self._connection.executemany(
                "INSERT INTO committed (topic_id, consumer_group, partition, next_offset) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                [(self._topic.topic_id, self._group, partition, offset) for partition, offset in offsets.items()],
            )
            ends = self.end_offsets()
        for partition, offset in offsets.items():
            catalogue.EVENT_LOG_CONSUMER_LAG.labels(self._topic.name, self._group, str(partition)).set(
                max(0, ends.get(partition, 0) - offset)
            )

    def end_offsets(self) -> dict[int, int]:
        with self._errors_named():
            rows = self._connection.execute(
                "SELECT partition, next_offset FROM heads WHERE topic_id = ?", (self._topic.topic_id,)
            )
            return dict(rows.fetchall())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(sqlite3.Error):  # the others notice by the session timeout instead
            self._membership.leave()
        self._connection.close()

    def _renew(self) -> bool:
        """Settle the shares; whether partitions were gained, which the caller must be able to seek."""
        owned, kept = self._membership.renew()
        kept &= self._assigned
        gained = owned - kept
        for partition in self._assigned - kept:
            self._positions.pop(partition, None)
        self._fresh = (self._fresh & owned) | gained
        self._sought &= kept
        self._assigned = owned
        return bool(gained)

    def _read(self, max_records: int) -> list[StoredRecord]:
        partitions = sorted(self._assigned)
        records: list[StoredRecord] = []
        room = POLL_BYTES
        self._turn += 1
        for index in range(len(partitions)):
            partition = partitions[(index + self._turn) % len(partitions)]  # nobody is always last
            if len(records) >= max_records or room <= 0:
                break
            for record in self._scan(partition, max_records - len(records)):
                records.append(record)
                room -= len(record.key) + len(record.value)
                self._positions[partition] = record.offset + 1
                if room <= 0:
                    break
        return records

    def _scan(self, partition: int, limit: int) -> Iterator[StoredRecord]:
        first = row_id(self._topic.topic_id, partition, self.position(partition))
        cursor = self._connection.execute(
            "SELECT id, timestamp, key, value, headers FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (first, row_id(self._topic.topic_id, partition + 1, 0), limit),
        )
        try:
            for row, timestamp, key, value, headers in cursor:
                yield StoredRecord(
                    topic=self._topic.name,
                    partition=partition,
                    offset=offset_of(row),
                    timestamp=timestamp,
                    key=key,
                    value=value,
                    headers=_decode_headers(headers) if headers is not None else (),
                )
        finally:
            cursor.close()  # an open read would keep the journal from being truncated

    def _start_of(self, partition: int) -> int:
        row = self._connection.execute(
            "SELECT next_offset FROM committed WHERE topic_id = ? AND consumer_group = ? AND partition = ?",
            (self._topic.topic_id, self._group, partition),
        ).fetchone()
        return int(row[0]) if row is not None else 0

    def _require(self, partition: int) -> None:
        if partition not in self._assigned:
            raise PartitionNotAssigned(
                f"partition {partition} of {self._topic.name} is not assigned to this member of {self._group}: it has "
                f"{sorted(self._assigned)}; poll again and seek what newly_assigned() names",
                field="partition",
            )

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        if self._closed:
            raise EventLogUnavailable("this consumer is closed; make a new one")
        try:
            yield
        except sqlite3.Error as error:
            raise EventLogUnavailable(f"the embedded log cannot be read: {error}; poll again") from error
