"""Spool files: each is a small embedded log of its own, held by one process at a time.

A file is claimed by an exclusive lock on the file beside it, which the kernel gives back when the process dies; the
next process that starts adopts what it finds unclaimed.
"""

import fcntl
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from infra.contracts.clock import Clock
from infra.event_log.deadlines import Acknowledgement
from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.port import Consumer, Record, StoredRecord
from infra.settings.infrastructure import EventLogSettings

_TOPIC = "spool"
_TOPIC_HEADER = "plaudit-spool-topic"
_PARTITION_HEADER = "plaudit-spool-partition"
_FOR_EVER = float("inf")


class Spooled(NamedTuple):
    """A record that waits in a spool, with the topic it is meant for."""

    topic: str
    record: Record
    offset: int


class SpoolFile:
    """One claimed spool file. What is appended is durable (synchronous=FULL) once the future resolves."""

    def __init__(self, path: Path, lock: IO[bytes], settings: EventLogSettings, clock: Clock) -> None:
        self.path = path
        self._lock = lock
        own = settings.model_copy(update={"kind": "embedded", "partitions": 1})
        self._log = SqliteEventLog(path, own, clock)
        self._log.ensure_topic(_TOPIC)
        self._reader: Consumer | None = None

    def append(self, topic: str, records: Sequence[Record], partitions: Sequence[int]) -> Acknowledgement:
        """Keep `records`, each meant for its partition of `topic`."""
        pairs = zip(records, partitions, strict=True)
        return self._log.append(_TOPIC, [_wrapped(topic, record, partition) for record, partition in pairs])

    def waiting_bytes(self) -> int:
        """Bytes of the values that wait."""
        return self._log.stored_bytes(_TOPIC)

    def oldest(self, max_records: int) -> list[Spooled]:
        """The records that have waited longest."""
        if self._reader is None:
            self._reader = self._log.consumer(_TOPIC, "drain")
        reader = self._reader
        reader.poll(1, 0.0)  # keeps the membership fresh; the first one assigns the partition
        if not reader.assignment():
            return []  # a reader of a dead process has not timed out yet
        reader.seek(0, 0)  # what has been handed on is deleted, so the oldest stand first
        return [_unwrapped(stored) for stored in reader.poll(max_records, 0.0)]

    def forget(self, until: int) -> None:
        """Delete the records below that offset: the log has them now."""
        self._log.trim(_TOPIC, _FOR_EVER, {0: until})

    def close(self, *, delete: bool = False) -> None:
        """Give the file back to whoever starts next, or delete it if nothing waits in it."""
        if self._reader is not None:
            self._reader.close()
        self._log.close()
        if delete:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()


def claim(folder: Path, settings: EventLogSettings, clock: Clock) -> list[SpoolFile]:
    """A new file of this process first, then every file of `folder` that nobody holds."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{uuid.uuid4().hex}.sqlite3", *sorted(folder.glob("*.sqlite3"))]
    claimed = [(path, lock) for path in paths if (lock := _locked(path)) is not None]
    return [SpoolFile(path, lock, settings, clock) for path, lock in claimed]


def _locked(path: Path) -> IO[bytes] | None:
    """The file's lock, or None while another process holds it, or has just deleted the file with its lock."""
    name = path.with_suffix(".lock")
    lock = name.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    if not name.exists() or name.stat().st_ino != _inode(lock):
        lock.close()
        return None
    return lock


def _inode(lock: IO[bytes]) -> int:
    return os.fstat(lock.fileno()).st_ino


def _wrapped(topic: str, record: Record, partition: int) -> Record:
    headers = ((_TOPIC_HEADER, topic.encode()), (_PARTITION_HEADER, str(partition).encode()), *record.headers)
    return Record(key=record.key, value=record.value, partition=0, headers=headers)


def _unwrapped(stored: StoredRecord) -> Spooled:
    (_, topic), (_, partition), *headers = stored.headers
    record = Record(key=stored.key, value=stored.value, partition=int(partition), headers=tuple(headers))
    return Spooled(topic.decode(), record, stored.offset)
