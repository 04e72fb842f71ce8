"""Group commit: one thread drains a bounded queue and makes many appends durable with one disk flush."""

import sqlite3
import threading
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from infra.contracts.clock import Clock
from infra.event_log.deadlines import fail, resolve
from infra.event_log.embedded.checkpoints import LONGEST_PAGES, Checkpoints
from infra.event_log.embedded.placing import AT_ONCE, FEW_RECORDS, INSERT, PROBE, Append, Heads, at_once, row_of
from infra.event_log.embedded.storage import connect
from infra.event_log.port import EventLogUnavailable, Position

COMMIT_BYTES = 8 * 1024 * 1024
"""A commit takes waiting appends up to this size, so that one flush stays short."""

_log = structlog.get_logger(__name__)


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
        self._lock = threading.Lock()
        self._wakes: SimpleQueue[None] = SimpleQueue()  # one for each append, and a last one
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
        with self._lock:
            if self._closing:
                reason = "the log is closed"
            elif self._queue and self._queued_bytes + append.size > self._limit:
                reason = f"{self._queued_bytes} bytes wait for the disk (event_log.queue_limit_bytes)"
            else:
                self._queue.append(append)
                self._queued_bytes += append.size
                self._wakes.put(None)
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
        with self._lock:
            self._closing = True
        self._wakes.put(None)
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
        taken: list[Append] = []
        while not taken:
            self._wakes.get()
            size = 0
            with self._lock:
                while self._queue and size < COMMIT_BYTES:
                    taken.append(self._queue.popleft())
                    size += taken[-1].size
                self._queued_bytes -= size
                if self._closing:
                    break
        return taken

    def _commit(self, appends: list[Append]) -> list[list[Position]]:
        if self._connection is None:
            self._connection = connect(self._path, busy_seconds=self._busy_seconds, durable=True)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_PAGES}")
            self._connection.executescript(AT_ONCE)
        heads = Heads(self._connection, self._guesses)
        return self._commit_at_once(heads, appends) or self._commit_step_by_step(heads, appends)

    def _commit_at_once(self, heads: Heads, appends: list[Append]) -> list[list[Position]] | None:
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
                values += row_of(append, record, position, now)
        try:
            heads.connection.execute(at_once(count), values)
        except sqlite3.IntegrityError:
            self._guesses.clear()
            return None
        self._guesses |= heads.next
        return positions

    def _commit_step_by_step(self, heads: Heads, appends: list[Append]) -> list[list[Position]]:
        connection = heads.connection
        connection.execute("BEGIN IMMEDIATE")
        # Read inside the transaction: other processes append to the same partitions.
        heads.next.clear()
        positions = [heads.place(append) for append in appends]
        now = self._clock.now()
        connection.executemany(
            INSERT,
            [
                row_of(append, record, position, now)
                for append, placed in zip(appends, positions, strict=True)
                for record, position in zip(append.records, placed, strict=True)
            ],
        )
        heads.save()
        if not any(positions):  # a probe must write something: a full disk shows nowhere else
            connection.execute(PROBE)
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
