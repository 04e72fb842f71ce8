"""Looking into a file of the embedded log that nobody writes to: a copy of it, say."""

from pathlib import Path

from infra.event_log.embedded.storage import connect, offset_of, row_id


def oldest_offsets(path: Path) -> dict[tuple[str, str, int], int]:
    """(topic, identity, partition) -> offset of the oldest record kept, or of the next one where none is."""
    connection = connect(path, busy_seconds=10.0, durable=False)
    try:
        rows = connection.execute(
            "SELECT t.topic_id, t.name, t.identity, h.partition, h.next_offset "
            "FROM topics t JOIN heads h ON h.topic_id = t.topic_id"
        ).fetchall()
        found = {}
        for topic_id, name, identity, partition, head in rows:
            bounds = (row_id(topic_id, partition, 0), row_id(topic_id, partition + 1, 0))
            oldest = connection.execute("SELECT min(id) FROM records WHERE id >= ? AND id < ?", bounds).fetchone()[0]
            found[name, identity, int(partition)] = int(head) if oldest is None else offset_of(oldest)
        return found
    finally:
        connection.close()
