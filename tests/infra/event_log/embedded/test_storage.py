"""The embedded log's file."""

from pathlib import Path

from infra.event_log.embedded.storage import connect, create


def test_a_log_that_is_there_is_opened_without_waiting_for_who_writes(tmp_path: Path) -> None:
    """Among many that append, a process that wanted to write before it begins could wait until it gives up."""
    path = tmp_path / "log.sqlite3"
    create(path, 5.0)
    writing = connect(path, busy_seconds=5.0, durable=True)
    writing.execute("BEGIN IMMEDIATE")
    create(path, 0.1)
    writing.execute("COMMIT")
    writing.close()
