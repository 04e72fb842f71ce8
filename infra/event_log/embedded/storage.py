"""The embedded log's file: schema, connections, and how a record's place becomes one 64-bit row id.

Row ids pack (topic, partition, offset), so that the table needs no second index, an append goes to the end of its
partition's own range of the B-tree, and reading a partition is one range scan.
"""

import sqlite3
import time
from pathlib import Path

from infra.contracts.errors import PlauditError
from infra.event_log.port import EventLogUnavailable

OFFSET_BITS = 40
PARTITION_BITS = 10
MAX_PARTITIONS = 1 << PARTITION_BITS

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    topic_id INTEGER PRIMARY KEY CHECK (topic_id < 8192),
    name TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    partitions INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS heads (
    topic_id INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic_id, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY,
    timestamp REAL NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    headers BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS committed (
    topic_id INTEGER NOT NULL,
    consumer_group TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic_id, consumer_group, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    topic_id INTEGER NOT NULL,
    consumer_group TEXT NOT NULL,
    member TEXT NOT NULL,
    process TEXT NOT NULL,
    heartbeat REAL NOT NULL,
    PRIMARY KEY (topic_id, consumer_group, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    topic_id INTEGER NOT NULL,
    consumer_group TEXT NOT NULL,
    partition INTEGER NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (topic_id, consumer_group, partition)
) STRICT, WITHOUT ROWID;
"""


class EventLogFileError(PlauditError):
    """The file at the embedded log's place is not a log this version can use."""

    code = "event_log_file"
    status = 500


def row_id(topic_id: int, partition: int, offset: int) -> int:
    """The row of a record. `row_id(t, p + 1, 0)` bounds partition p from above."""
    return (((topic_id << PARTITION_BITS) + partition) << OFFSET_BITS) + offset


def offset_of(row: int) -> int:
    """The offset within its partition of the record in `row`."""
    return row & ((1 << OFFSET_BITS) - 1)


def connect(path: Path, *, busy_seconds: float, durable: bool) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions begin and end explicitly.

    `durable`: a commit returns after fsync (synchronous=FULL). Without it a commit may be lost with the machine, never
    with the process: enough for group membership and for committed offsets, which are not the truth.
    """
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def create(path: Path, busy_seconds: float) -> None:
    """Make the file, its tables and its folder where they are missing. Safe when several processes do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = connect(path, busy_seconds=busy_seconds, durable=True)
        try:
            _enter_wal_mode(connection, busy_seconds)
            if _version(connection, path) != SCHEMA_VERSION:
                # Only now: to write, one waits behind those who append, and among many of them may wait in vain.
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise EventLogUnavailable(f"the embedded log {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise EventLogFileError(f"{path} is not an event log: {error}; move it away or set another data_dir") from error


def _enter_wal_mode(connection: sqlite3.Connection, busy_seconds: float) -> None:
    # Changing the journal mode does not wait for the busy timeout when another process changes it at the same moment.
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """0 of a file without tables, else SCHEMA_VERSION. Raises EventLogFileError for any other."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, SCHEMA_VERSION):
        raise EventLogFileError(
            f"{path} has event-log schema {found}, this version reads {SCHEMA_VERSION}: use the matching release, "
            "or let its consumers finish, move the file away and start again"
        )
    return found
