"""The write-ahead log is written into the file beside the appends, and begins anew under load."""

import threading
import time
from pathlib import Path

import pytest

from infra.event_log.embedded import checkpoints
from tests.conformance.logs import record
from tests.fixtures.helpers import wait_until
from tests.infra.event_log.embedded.conftest import OpenLog


def test_commits_are_written_into_the_file_without_the_writer(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    size = path.stat().st_size
    for number in range(checkpoints.EVERY_COMMITS):
        log.append("t", [record(bytes(4000), number % 4)]).result(10)
    wait_until(lambda: path.stat().st_size > size + 500_000, what="the checkpoint beside the appends")
    writer = log._writer._connection
    assert writer is not None
    assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (checkpoints.LONGEST_PAGES,)


def test_under_load_the_write_ahead_log_begins_anew(
    open_log: OpenLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With appends always under way there is never a moment without anything new to write into the file."""
    monkeypatch.setattr(checkpoints, "EVERY_COMMITS", 20)
    monkeypatch.setattr(checkpoints, "LONG_PAGES", 100)
    log = open_log()
    begun, waiting = times_begun(path), [log.append("t", [record(bytes(4000), number)]) for number in range(3)]
    deadline = time.monotonic() + 60
    while times_begun(path) < begun + 2:
        assert time.monotonic() < deadline, "the write-ahead log goes on and on"
        waiting.append(log.append("t", [record(bytes(4000), 0)]))
        waiting.pop(0).result(10)
    for future in waiting:
        future.result(10)


def times_begun(path: Path) -> int:
    """The checkpoint sequence number in the header of the write-ahead log (SQLite's file format, 4.1)."""
    with path.with_name(path.name + "-wal").open("rb") as file:
        return int.from_bytes(file.read(16)[12:])


def test_who_appends_writes_the_end_of_a_long_one_and_the_thread_waits_for_it(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    log.append("t", [record(bytes(4000), 0)]).result(10)
    writer = log._writer
    begun = times_begun(path)
    waiting = threading.Thread(target=writer._checkpoints._leave_the_rest)
    waiting.start()
    wait_until(lambda: writer._checkpoints._long, what="the thread to leave the rest")
    log.append("t", [record("one", 0)]).result(10)  # after this commit it is written into the file
    waiting.join(10)
    assert not writer._checkpoints._long
    log.append("t", [record("two", 0)]).result(10)  # this one begins the write-ahead log anew
    assert times_begun(path) == begun + 1
