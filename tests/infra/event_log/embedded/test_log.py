"""The embedded log's limits, faults, identity and retention."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.event_log import EventLogUnavailable, Record
from infra.event_log.embedded.storage import EventLogFileError
from infra.metrics import catalogue
from tests.conformance.logs import read, record, values
from tests.fixtures.helpers import wait_until
from tests.infra.event_log.embedded.conftest import OpenLog


class Blocker:
    """Another process's write transaction, as far as the log can tell."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def test_appends_over_the_queue_limit_fail_at_once_and_later_ones_pass(open_log: OpenLog, path: Path) -> None:
    log = open_log(queue_limit_bytes=10_000, append_timeout_seconds=20.0)
    blocker = Blocker(path)
    first = log.append("t", [record(bytes(9_000), 0)])
    wait_until(lambda: log._writer._queued_bytes == 0, what="the writer taking the first append")
    waiting = [log.append("t", [record(bytes(4_000), 0)]) for _ in range(2)]
    refused = log.append("t", [record(bytes(4_000), 0)])
    with pytest.raises(EventLogUnavailable, match="queue_limit_bytes"):
        refused.result(0)  # at once
    assert not first.done()
    blocker.release()
    assert [future.result(10)[0].offset for future in (first, *waiting)] == [0, 1, 2]
    assert log.append("t", [record("later", 0)]).result(10)[0].offset == 3


def test_a_record_larger_than_the_queue_passes_when_nothing_waits(open_log: OpenLog) -> None:
    log = open_log(queue_limit_bytes=10_000)
    assert log.append("t", [record(bytes(50_000), 0)]).result(10)[0].offset == 0


def test_an_append_without_acknowledgement_fails_after_the_timeout_and_is_not_written_later(
    open_log: OpenLog, path: Path
) -> None:
    log = open_log(append_timeout_seconds=0.4)
    blocker = Blocker(path)
    with pytest.raises(EventLogUnavailable, match=r"could not be written|no durable acknowledgement"):
        log.append("t", [record("lost", 0)]).result(30)
    blocker.release()
    wait_until(lambda: log.append("t", [record("kept", 0)]).exception(30) is None, what="recovery")
    consumer = log.consumer("t", "g")
    assert b"lost" not in values(read(consumer, 1))
    consumer.close()


def test_a_failed_commit_fails_its_appends_shows_in_health_and_heals(open_log: OpenLog, path: Path) -> None:
    log = open_log(append_timeout_seconds=0.5)
    assert log.healthy() is None
    blocker = Blocker(path)
    assert isinstance(log.append("t", [record("x")]).exception(30), EventLogUnavailable)
    wait_until(lambda: "locked" in (log.healthy() or ""), what="the failure in healthy()")
    assert catalogue.EVENT_LOG_HEALTHY._value.get() == 0
    blocker.release()
    log.append("t", [record("y")]).result(30)
    assert log.healthy() is None
    assert catalogue.EVENT_LOG_HEALTHY._value.get() == 1


def test_it_heals_by_itself_when_everybody_waits_for_that(open_log: OpenLog, path: Path) -> None:
    """The gateway asks `healthy()` first and appends nothing while the answer is no."""
    log = open_log(append_timeout_seconds=0.5)
    log.append("t", [record("kept")]).result(30)
    blocker = Blocker(path)
    assert log.append("t", [record("x")]).exception(30) is not None
    wait_until(lambda: log.healthy() is not None, what="the failure in healthy()")
    blocker.release()
    wait_until(lambda: log.healthy() is None, what="recovery without an append")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,), "a probe stayed behind"
    connection.close()


def test_many_waiting_appends_share_a_commit(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    blocker = Blocker(path)
    futures = [log.append("t", [record(str(number))]) for number in range(50)]
    before = log._writer.committed.count()
    blocker.release()
    for future in futures:
        future.result(10)
    assert log._writer.committed.count() - before <= 3  # one that was begun, one for the rest; one to spare


def test_a_cancelled_append_harms_no_other(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    blocker = Blocker(path)
    futures = [log.append("t", [record(str(number), 0)]) for number in range(4)]
    futures[2].cancel()
    blocker.release()
    assert [len(futures[number].result(10)) for number in (0, 1, 3)] == [1, 1, 1]


def test_identity_changes_when_the_file_is_made_anew(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    identity = log.topic_identity("t")
    log.append("t", [record("old", 0)]).result(30)
    log.close()
    assert open_log().topic_identity("t") == identity
    for leftover in path.parent.glob("log.sqlite3*"):
        leftover.unlink()
    fresh = open_log()
    assert fresh.topic_identity("t") != identity
    assert fresh.append("t", [record("new", 0)]).result(30)[0].offset == 0


def test_a_file_replaced_while_open_is_not_healthy(open_log: OpenLog, path: Path) -> None:
    log = open_log()
    path.rename(path.with_name("moved"))
    assert "cannot be read" in (log.healthy() or "")
    path.write_bytes(b"")
    assert "replaced" in (log.healthy() or "")


def test_a_file_that_is_no_log_is_named(open_log: OpenLog, path: Path) -> None:
    path.write_bytes(os.urandom(4096))
    with pytest.raises(EventLogFileError, match=r"log\.sqlite3 is not an event log"):
        open_log()


def test_a_file_of_another_version_is_named(open_log: OpenLog, path: Path) -> None:
    open_log().close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EventLogFileError, match="schema 99, this version reads 1"):
        open_log()


def test_several_openings_at_once_make_one_file(open_log: OpenLog) -> None:
    identities: list[str] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            log = open_log()
            log.append("t", [record("x", 0)]).result(20)
            identities.append(log.topic_identity("t"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(identities) == 6
    assert len(set(identities)) == 1


def test_a_commit_is_flushed_to_disk_before_it_is_acknowledged(open_log: OpenLog) -> None:
    log = open_log()
    log.append("t", [record("x")]).result(30)
    connection = log._writer._connection
    assert connection is not None
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_trim_deletes_only_what_is_old_and_applied_and_offsets_stay(open_log: OpenLog, clock: ManualClock) -> None:
    log = open_log()
    log.append("t", [record(f"old-{number}", number % 2) for number in range(6)]).result(30)
    clock.advance(100)
    boundary = clock.now()
    log.append("t", [record("new-0", 0), record("new-1", 1)]).result(30)
    assert log.trim("t", before=boundary, applied={0: 2, 1: 4}) == 2 + 3
    consumer = log.consumer("t", "g")
    left = {(one.partition, one.offset): one.value for one in read(consumer, 3)}
    assert left == {(0, 2): b"old-4", (0, 3): b"new-0", (1, 3): b"new-1"}
    assert consumer.end_offsets() == {0: 4, 1: 4, 2: 0, 3: 0}
    assert log.append("t", [record("next", 1)]).result(30)[0].offset == 4
    consumer.close()


def test_trim_works_through_more_than_one_transaction(open_log: OpenLog, clock: ManualClock) -> None:
    log = open_log()
    log.append("t", [record("x", 3) for _ in range(2500)]).result(10)
    assert log.trim("t", before=clock.now() + 1, applied={3: 2400}) == 2400


def test_appends_are_counted(open_log: OpenLog) -> None:
    log = open_log()
    topic = "counted"
    log.ensure_topic(topic)
    log.append(topic, [Record(key=b"12", value=b"345"), Record(key=b"", value=b"6")]).result(30)
    log.close()
    assert isinstance(log.append(topic, [record("x")]).exception(30), EventLogUnavailable)
    wait_until(lambda: catalogue.EVENT_LOG_APPENDED_RECORDS.labels(topic)._value.get() == 2, what="the count")
    assert catalogue.EVENT_LOG_APPENDED_BYTES.labels(topic)._value.get() == 6
    failures = catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, "event_log_unavailable")
    assert failures._value.get() == 1
    (histogram,) = catalogue.EVENT_LOG_APPEND_SECONDS.collect()
    counts = [s.value for s in histogram.samples if s.name.endswith("_count") and s.labels == {"topic": topic}]
    assert counts == [2]
