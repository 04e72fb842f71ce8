"""The embedded log's file: who begins does not wait for who writes."""

from pathlib import Path

from infra.event_log.embedded.storage import connect, create
from tests.infra.event_log.embedded.conftest import OpenLog


def test_a_log_that_is_there_is_opened_without_waiting_for_who_writes(path: Path) -> None:
    """Among many that append, a process that wanted to write before it begins could wait until it gives up."""
    create(path, 5.0)
    writing = connect(path, busy_seconds=5.0, durable=True)
    writing.execute("BEGIN IMMEDIATE")
    create(path, 0.1)
    writing.execute("COMMIT")
    writing.close()


def test_a_topic_that_is_there_is_not_waited_for(open_log: OpenLog, path: Path) -> None:
    log = open_log(append_timeout_seconds=0.2)
    writing = connect(path, busy_seconds=5.0, durable=True)
    writing.execute("BEGIN IMMEDIATE")
    log.ensure_topic("t")
    writing.execute("COMMIT")
    writing.close()
