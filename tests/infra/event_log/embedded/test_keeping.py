"""The embedded log with a spool: durable at once, on the log soon, and nothing lost in between."""

import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.event_log import EventLogUnavailable, Record, UnknownTopic
from infra.event_log.deadlines import Acknowledgement, failed
from infra.event_log.embedded.keeping import KeepingEventLog
from infra.event_log.partitioning import InvalidRecord
from infra.event_log.spooling.claiming import claim
from infra.event_log.spooling.files import content_of
from infra.event_log.spooling.spool import SPOOLED
from infra.settings.infrastructure import EventLogSettings
from tests.conformance.logs import record
from tests.fixtures.helpers import wait_until
from tests.infra.event_log.killing import acknowledged_by_the_killed

TOPIC = "plaudit.test"


@pytest.fixture
def start(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., KeepingEventLog]]:
    with ExitStack() as closing:

        def started(**changes: object) -> KeepingEventLog:
            settings = EventLogSettings.model_validate({"partitions": 2, "append_timeout_seconds": 5.0} | changes)
            log = KeepingEventLog(tmp_path / "log.sqlite3", tmp_path / "spool", settings, clock)
            closing.callback(log.close)
            log.ensure_topic(TOPIC)
            return log

        yield started


def stored(log: KeepingEventLog) -> set[tuple[int, bytes]]:
    consumer = log.consumer(TOPIC, os.urandom(4).hex())
    try:
        while not consumer.assignment():
            consumer.poll(1, 0.05)
        found = set()
        while batch := consumer.poll(1000, 0.05):
            found |= {(one.partition, one.value) for one in batch}
        return found
    finally:
        consumer.close()


def test_what_is_kept_comes_to_its_partition(start: Callable[..., KeepingEventLog], tmp_path: Path) -> None:
    log = start()
    assert not (tmp_path / "spool").exists(), "who only reads and appends opens no spool"
    kept = log.keep(TOPIC, [record("a", 1), Record(b"k", b"b", 0, (("h", b"1"),))]).result(10)
    assert [(p.topic, p.partition, p.offset) for p in kept] == [(TOPIC, 1, SPOOLED), (TOPIC, 0, SPOOLED)]
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
    assert stored(log) == {(1, b"a"), (0, b"b")}
    assert log.healthy() is None


def test_closing_hands_on_what_waits(start: Callable[..., KeepingEventLog], tmp_path: Path) -> None:
    log = start()
    for number in range(500):
        log.keep(TOPIC, [record(str(number), 0)])
    log.close()
    assert list((tmp_path / "spool").iterdir()) == []
    assert {int(value) for _, value in stored(start())} == set(range(500))
    with pytest.raises(EventLogUnavailable, match="closed"):
        log.keep(TOPIC, [record("late", 0)]).result(10)


def test_faults_of_the_caller_are_told_at_once(start: Callable[..., KeepingEventLog]) -> None:
    log = start()
    with pytest.raises(UnknownTopic):
        log.keep("plaudit.none", [record("a", 0)])
    with pytest.raises(InvalidRecord, match="partition 7"):
        log.keep(TOPIC, [record("a", 7)])
    assert log.spooled_bytes() == 0


def test_a_disk_that_takes_nothing_is_told_and_asked_again(start: Callable[..., KeepingEventLog]) -> None:
    log = start()
    log.keep(TOPIC, [record("before", 0)]).result(10)
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(EventLogUnavailable, match="the spool could not be written"):
            log.keep(TOPIC, [record("refused" * 20_000, 0)]).result(10)
        assert "the last write to the spool failed" in str(log.keeping_problem())
        assert log.spooled_bytes() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    wait_until(lambda: log.keeping_problem() is None, 20.0)
    log.keep(TOPIC, [record("after", 0)]).result(10)
    log.close()
    assert stored(start()) == {(0, b"before"), (0, b"after")}


_CHILD = """
import sys
from pathlib import Path
from infra.contracts import SystemClock
from infra.event_log.deadlines import Acknowledgement, failed
from infra.event_log.embedded.keeping import KeepingEventLog
from infra.settings.infrastructure import EventLogSettings
from tests.conformance.logs import record
folder = Path(sys.argv[1])
log = KeepingEventLog(folder / "log.sqlite3", folder / "spool", EventLogSettings(partitions=2), SystemClock())
log.ensure_topic("plaudit.test")
for number in range(1000000):
    log.keep("plaudit.test", [record(str(number), number % 2)]).result(10)
    print('ack', number, flush=True)
"""


def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path, start: Callable[..., KeepingEventLog]) -> None:
    acknowledged = acknowledged_by_the_killed(_CHILD, tmp_path, 700)
    log = start()  # the next process of the same folder
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
    assert {int(value) for _, value in stored(log)} >= acknowledged


def test_what_the_log_will_not_take_any_more_holds_nothing_up(
    start: Callable[..., KeepingEventLog], tmp_path: Path
) -> None:
    """The log was made anew with fewer partitions, and takes smaller records only."""
    (file,) = claim(tmp_path / "spool")
    large, moved, fine = Record(b"k", b"x" * 5000), Record(b"k", b"moved"), Record(b"k", b"fine")
    file.write([content_of(TOPIC, [large, moved, fine], [0, 3, 0])], [3], [5009])
    file.close()
    log = start(max_record_bytes=2048)
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
    assert stored(log) == {(1, b"moved"), (0, b"fine")}
    (refused,) = (tmp_path / "spool").glob("*.refused")
    log.close()
    refused.rename(refused.with_suffix(".spool"))
    again = start()
    wait_until(lambda: again.spooled_bytes() == 0, 20.0)
    assert stored(again) == {(1, b"moved"), (0, b"fine"), (0, b"x" * 5000)}


def test_a_batch_that_fails_half_way_is_not_sent_twice(
    start: Callable[..., KeepingEventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = start()
    log.ensure_topic("plaudit.other")
    append, asked = log.append, []

    def some(topic: str, records: Sequence[Record]) -> Acknowledgement:
        asked.append(topic)
        if topic == "plaudit.other" and asked.count(topic) < 3:
            return failed(EventLogUnavailable("away"))
        return append(topic, records)

    monkeypatch.setattr(log, "append", some)
    for topic in (TOPIC, "plaudit.other"):
        log.keep(topic, [record("a", 0)]).result(10)
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
    assert sorted(asked) == 3 * ["plaudit.other"] + [TOPIC]


def test_a_spool_that_cannot_be_opened_is_told(start: Callable[..., KeepingEventLog], tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    log = start()
    with pytest.raises(EventLogUnavailable, match="see to the folder"):
        log.keep(TOPIC, [record("a", 0)])
    assert "cannot be opened" in str(log.keeping_problem())
    assert log.healthy() is None, "who appends needs no spool"
    (tmp_path / "spool").unlink()
    assert log.keeping_problem() is None
    log.keep(TOPIC, [record("a", 0)]).result(10)


def test_a_full_spool_is_told(start: Callable[..., KeepingEventLog]) -> None:
    log = start(spool_limit_bytes=3)
    with pytest.raises(EventLogUnavailable, match="spool_limit_bytes is 3"):
        log.keep(TOPIC, [record("four", 0)]).result(10)
    assert log.keeping_problem() is None
    log.keep(TOPIC, [record("333", 0)]).result(10)
    wait_until(lambda: log.spooled_bytes() == 0, 20.0)
