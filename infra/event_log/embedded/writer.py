"""Group commit: one thread drains a bounded queue and makes many appends durable with one disk flush."""

import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import structlog

from infra.contracts.clock import Clock
from infra.event_log.deadlines import Acknowledgement, fail, resolve
from infra.event_log.embedded.checkpoints import LONGEST_PAGES, Checkpoints
from infra.event_log.embedded.storage import connect, row_id
from infra.event_log.port import EventLogUnavailable, Position, Record

COMMIT_BYTES = 8 * 1024 * 1024
"""A commit takes waiting appends up to this size, so that one flush stays short."""

_log = structlog.get_logger(__name__)
_encode_headers = msgspec.msgpack.Encoder().encode
_INSERT = "INSERT INTO records (id, timestamp, key, value, headers) VALUES (?, ?, ?, ?, ?)"

FEW_RECORDS = 16
"""So many records at most are committed by one statement: each statement of a transaction gives the interpreter to
other threads and waits until it gets it back, which under load costs more than the statement."""
_AT_ONCE = """
CREATE TEMP VIEW incoming AS
    SELECT 0 AS topic_id, 0 AS partition, 0 AS offset, 0 AS id, 0 AS timestamp, 0 AS key, 0 AS value, 0 AS headers;
CREATE TEMP TRIGGER placing INSTEAD OF INSERT ON incoming BEGIN
    SELECT RAISE(ABORT, 'others appended') WHERE NOT EXISTS (
        SELECT 1 FROM heads
        WHERE topic_id = NEW.topic_id AND partition = NEW.partition AND next_offset = NEW.offset
    );
    INSERT INTO records (id, timestamp, key, value, headers)
        VALUES (NEW.id, NEW.timestamp, NEW.key, NEW.value, NEW.headers);
    UPDATE heads SET next_offset = NEW.offset + 1 WHERE topic_id = NEW.topic_id AND partition = NEW.partition;
END;
"""
"""A whole transaction as one statement, of records whose offsets are guessed; it fails, and changes nothing, when
another process has appended since."""
_PROBE = "INSERT INTO records (id, timestamp, key, value) VALUES (0, 0, x'', x'')"
"""No topic has the id 0."""


@dataclass(frozen=True, slots=True)
class Append:
    """One call of `append`, waiting for its commit."""

    topic: str
    topic_id: int
    records: Sequence[Record]
    partitions: Sequence[int]
    size: int
    future: Acknowledgement = field(default_factory=Acknowledgement)


class CommitSignal:
    """Counts commits, and wakes those who wait for the next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def count(self) -> int:
        with self._changed:
            return self._count

    def notify(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_beyond(self, count: int, timeout_seconds: float) -> None:
        """Return once there were more than `count` commits, or after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > count, timeout_seconds)


class GroupCommitWriter:
    """The only thread of this process that appends to the file."""

    def __init__(self, path: Path, clock: Clock, queue_limit_bytes: int, busy_seconds: float) -> None:
        self._path = path
        self._clock = clock
        self._limit = queue_limit_bytes
        self._busy_seconds = busy_seconds
        self._queue: deque[Append] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._connection: sqlite3.Connection | None = None
        self._guesses: dict[tuple[int, int], int] = {}  # next offsets, as this process left them
        self._checkpoints = Checkpoints(path, busy_seconds)
        self.committed = CommitSignal()
        self.last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name="event-log-writer", daemon=True)
        self._thread.start()

    def submit(self, append: Append) -> None:
        """Queue it; its future fails at once when the queue is over its limit or the log is closed."""
        with self._changed:
            if self._closing:
                reason = "the log is closed"
            elif self._queue and self._queued_bytes + append.size > self._limit:
                reason = f"{self._queued_bytes} bytes wait for the disk (event_log.queue_limit_bytes)"
            else:
                self._queue.append(append)
                self._queued_bytes += append.size
                self._changed.notify()
                return
        fail(append.future, EventLogUnavailable(f"{reason}: nothing was accepted, send it again later"))

    def probe(self) -> None:
        """After a failure: ask the disk again, unless an append is about to. Who waits for the log to be healthy before
        it appends would wait for ever otherwise."""
        if self.last_error and not self._queue:
            self.submit(Append("", 0, (), (), 0))

    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Commit what was queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._checkpoints.close()

    def _run(self) -> None:
        while appends := self._take():
            wanted = [append for append in appends if not append.future.done()]
            if not wanted:
                continue  # all had waited too long
            try:
                acknowledged = self._commit(wanted)
            except Exception as error:
                self._give_up(wanted, error)
                continue
            self.last_error = None
            self.committed.notify()
            for append, positions in zip(wanted, acknowledged, strict=True):
                resolve(append.future, positions)
            self._tidy(sum([append.size for append in wanted]))
        self._disconnect()

    def _take(self) -> list[Append]:
        """Waiting appends, up to COMMIT_BYTES; [] when closing and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            taken: list[Append] = []
            size = 0
            while self._queue and size < COMMIT_BYTES:
                taken.append(self._queue.popleft())
                size += taken[-1].size
            self._queued_bytes -= size
            return taken

    def _commit(self, appends: list[Append]) -> list[list[Position]]:
        if self._connection is None:
            self._connection = connect(self._path, busy_seconds=self._busy_seconds, durable=True)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_PAGES}")
            self._connection.executescript(_AT_ONCE)
        heads = _Heads(self._connection, self._guesses)
        return self._commit_at_once(heads, appends) or self._commit_step_by_step(heads, appends)

    def _commit_at_once(self, heads: "_Heads", appends: list[Append]) -> list[list[Position]] | None:
        """By one statement, if there are few records and all go where this process appended last; None: nothing was
        done."""
        count = sum([len(append.records) for append in appends])
        if not 0 < count <= FEW_RECORDS or not heads.guessed(appends):
            return None
        now = self._clock.now()
        positions = [heads.place(append) for append in appends]
        values: list[Any] = []
        for append, placed in zip(appends, positions, strict=True):
            for record, position in zip(append.records, placed, strict=True):
                values += (append.topic_id, position.partition, position.offset)
                values += _row(append, record, position, now)
        try:
            heads.connection.execute(_at_once(count), values)
        except sqlite3.IntegrityError:
            self._guesses.clear()
            return None
        self._guesses |= heads.next
        return positions

    def _commit_step_by_step(self, heads: "_Heads", appends: list[Append]) -> list[list[Position]]:
        connection = heads.connection
        connection.execute("BEGIN IMMEDIATE")
        # Read inside the transaction: other processes append to the same partitions.
        heads.next.clear()
        positions = [heads.place(append) for append in appends]
        now = self._clock.now()
        connection.executemany(
            _INSERT,
            [
                _row(append, record, position, now)
                for append, placed in zip(appends, positions, strict=True)
                for record, position in zip(append.records, placed, strict=True)
            ],
        )
        heads.save()
        if not any(positions):  # a probe must write something: a full disk shows nowhere else
            connection.execute(_PROBE)
            connection.execute("DELETE FROM records WHERE id = 0")
        connection.execute("COMMIT")
        self._guesses |= heads.next
        return positions

    def _tidy(self, size: int) -> None:
        """After the acknowledgements of so many bytes: nobody waits."""
        self._checkpoints.count(size)
        if self._connection is not None:
            try:
                self._checkpoints.finish(self._connection)
            except sqlite3.Error as error:
                _log.warning("event_log_checkpoint_failed", path=str(self._path), error=str(error))

    def _give_up(self, appends: list[Append], error: Exception) -> None:
        self.last_error = f"{type(error).__name__}: {error}"
        _log.error("event_log_commit_failed", path=str(self._path), error=self.last_error, appends=len(appends))
        self._disconnect()  # rolls back; the next commit starts from a fresh connection
        for append in appends:
            fail(append.future, EventLogUnavailable(f"the log could not be written ({error}): send it again later"))

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._guesses.clear()
            try:
                connection.close()
            except sqlite3.Error as error:
                _log.warning("event_log_close_failed", path=str(self._path), error=str(error))


class _Heads:
    """Next offsets of the partitions one transaction touches: `next`, beginning with none."""

    def __init__(self, connection: sqlite3.Connection, guesses: dict[tuple[int, int], int]) -> None:
        self.connection = connection
        self.next: dict[tuple[int, int], int] = {}
        self._guesses = guesses

    def guessed(self, appends: Sequence[Append]) -> bool:
        """Whether all of them are known from what this process appended before; then they are taken from there."""
        for append in appends:
            for partition in append.partitions:
                place = (append.topic_id, partition)
                if place not in self._guesses:
                    return False
                self.next[place] = self._guesses[place]
        return True

    def place(self, append: Append) -> list[Position]:
        """Give each record of an append its offset: contiguous within its partition."""
        placed: list[Position] = []
        for partition in append.partitions:
            place = (append.topic_id, partition)
            offset = self.next[place] if place in self.next else self._load(place)
            self.next[place] = offset + 1
            placed.append(Position(topic=append.topic, partition=partition, offset=offset))
        return placed

    def save(self) -> None:
        self.connection.executemany(
            "UPDATE heads SET next_offset = ? WHERE topic_id = ? AND partition = ?",
            [(offset, *place) for place, offset in self.next.items()],
        )

    def _load(self, place: tuple[int, int]) -> int:
        row = self.connection.execute(
            "SELECT next_offset FROM heads WHERE topic_id = ? AND partition = ?", place
        ).fetchone()
        if row is None:
            raise EventLogUnavailable("the topic was deleted while it was written; call ensure_topic again")
        offset: int = row[0]
        return offset


@cache
def _at_once(count: int) -> str:
    return "INSERT INTO incoming VALUES " + ", ".join(count * ("(?, ?, ?, ?, ?, ?, ?, ?)",))  # noqa: S608


def _row(append: Append, record: Record, position: Position, now: float) -> tuple[int, float, bytes, bytes, Any]:
    """The columns of `records`."""
    headers = _encode_headers(record.headers) if record.headers else None
    return row_id(append.topic_id, position.partition, position.offset), now, record.key, record.value, headers
