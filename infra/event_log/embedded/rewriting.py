"""Taking something out of the embedded log: record values are replaced, offsets stay, old bytes are overwritten.

For the erasure of a person, never for correcting history: consumers that have read a record do not read it again.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.event_log.embedded.consumer import Topic
from infra.event_log.embedded.storage import MAX_PARTITIONS, OFFSET_BITS, connect, offset_of, row_id
from infra.event_log.port import EventLogUnavailable, StoredRecord

RECORDS_AT_ONCE = 500
_PARTITION_MASK = MAX_PARTITIONS - 1

Edit = Callable[[Sequence[StoredRecord]], dict[int, bytes]]
"""Which of these records get another value: index -> value. Called outside of any transaction of the log."""


def rewrite(path: Path, topic: str, edit: Edit, busy_seconds: float = 30.0) -> int:
    """Show `edit` every record of `topic`, in batches, and write what it wants changed; returns how many were.

    Appends go on meanwhile: records that come after the start are seen too, each record at least once. A rewritten
    record loses its key and headers, which may name what was taken out. Freed bytes are overwritten with zeros
    (secure_delete); older copies stay in the write-ahead log until it is checkpointed. Raises EventLogUnavailable.
    """
    if not path.exists():
        return 0
    connection = connect(path, busy_seconds=busy_seconds, durable=True)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        found = _topic(connection, topic)
        return 0 if found is None else _rewrite(connection, found, edit)
    except sqlite3.Error as error:
        raise EventLogUnavailable(f"the embedded log {path} cannot be rewritten: {error}; try again") from error
    finally:
        connection.close()


def _topic(connection: sqlite3.Connection, name: str) -> Topic | None:
    row = connection.execute(
        "SELECT topic_id, name, identity, partitions FROM topics WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else Topic(*row)


def _rewrite(connection: sqlite3.Connection, topic: Topic, edit: Edit) -> int:
    changed = 0
    after, end = row_id(topic.topic_id, 0, 0) - 1, row_id(topic.topic_id, topic.partitions, 0)
    while True:
        rows = connection.execute(
            "SELECT id, timestamp, key, value FROM records WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            (after, end, RECORDS_AT_ONCE),
        ).fetchall()
        if not rows:
            return changed
        after = rows[-1][0]
        values = edit([_record(topic, *row) for row in rows])
        if values:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE records SET value = ?, key = x'', headers = NULL WHERE id = ?",
                [(value, rows[index][0]) for index, value in values.items()],
            )
            connection.execute("COMMIT")
            changed += len(values)


def _record(topic: Topic, row: int, timestamp: float, key: bytes, value: bytes) -> StoredRecord:
    partition = (row >> OFFSET_BITS) & _PARTITION_MASK
    return StoredRecord(topic.name, partition, offset_of(row), timestamp, key, value)
