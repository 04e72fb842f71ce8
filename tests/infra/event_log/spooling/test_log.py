"""What the log does not take now is kept on disk, acknowledged from there, and handed on by whoever lives."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.event_log import EventLogUnavailable, Record
from infra.event_log.deadlines import Acknowledgement, failed
from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.kafka.log import KafkaEventLog
from infra.event_log.partitioning import InvalidRecord
from infra.event_log.spooling.log import SpoolingEventLog
from infra.event_log.spooling.spool import SPOOLED
from infra.settings.infrastructure import EventLogSettings
from tests.conformance.logs import record
from tests.fixtures.broker import running_broker
from tests.fixtures.helpers import free_port, wait_until
from tests.infra.event_log.killing import acknowledged_by_the_killed

TOPIC = "plaudit.test"


class Outage(SqliteEventLog):
    """A real log that can be away: then it acknowledges nothing."""

    away = False

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        return failed(EventLogUnavailable("away")) if self.away else super().append(topic, records)

    def healthy(self) -> str | None:
        return "away" if self.away else super().healthy()


class Bench:
    """A spooling log over a log that can be taken away."""

    def __init__(self, folder: Path, clock: ManualClock, closing: ExitStack, **settings: object) -> None:
        self.folder = folder
        self.settings = EventLogSettings.model_validate({"partitions": 2, "append_timeout_seconds": 3.0} | settings)
        self._clock, self._closing = clock, closing
        self.inner, self.log = self.start()

    def start(self) -> tuple[Outage, SpoolingEventLog]:
        inner = Outage(self.folder / "log.sqlite3", self.settings, self._clock)
        log = SpoolingEventLog(inner, self.folder / "spool", self.settings)
        self._closing.callback(log.close)
        log.ensure_topic(TOPIC)
        return inner, log

    def stored(self, log: SpoolingEventLog | None = None) -> list[tuple[int, bytes]]:
        """(partition, value) of everything that reached the log."""
        consumer = (log or self.log).consumer(TOPIC, os.urandom(4).hex())
        try:
            while not consumer.assignment():
                consumer.poll(1, 0.05)
            found = []
            while batch := consumer.poll(1000, 0.05):
                found += [(one.partition, one.value) for one in batch]
            return sorted(found)
        finally:
            consumer.close()


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as closing:
        yield lambda **settings: Bench(tmp_path, clock, closing, **settings)


def test_while_the_log_answers_nothing_is_spooled(bench: Callable[..., Bench]) -> None:
    made = bench()
    assert [p.offset for p in made.log.append(TOPIC, [record("a", 0), record("b", 0)]).result(30)] == [0, 1]
    assert made.log.spooled_bytes() == 0


def test_what_the_log_refuses_is_kept_and_handed_on_in_its_partition(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.inner.away = True
    kept = made.log.append(TOPIC, [record("x", 1, b"key"), Record(b"k", b"y", 0, (("h", b"1"),))]).result(30)
    assert [(p.topic, p.partition, p.offset) for p in kept] == [(TOPIC, 1, SPOOLED), (TOPIC, 0, SPOOLED)]
    assert made.log.spooled_bytes() == 2
    assert made.log.healthy() is None  # it takes what comes
    made.inner.away = False
    wait_until(lambda: made.log.spooled_bytes() == 0, 40.0)
    assert made.stored() == [(0, b"y"), (1, b"x")]
    assert made.log.append(TOPIC, [record("z", 0)]).result(30)[0].offset == 1  # past the spool again


def test_a_full_spool_refuses_and_says_so(bench: Callable[..., Bench]) -> None:
    made = bench(spool_limit_bytes=10)
    made.inner.away = True
    made.log.append(TOPIC, [record("1234567", 0)]).result(30)
    with pytest.raises(EventLogUnavailable, match="spool_limit_bytes is 10"):
        made.log.append(TOPIC, [record("5678", 0)]).result(30)
    made.log.append(TOPIC, [record("890", 0)]).result(30)
    assert made.log.healthy() is not None
    assert "the spool is full" in str(made.log.healthy())


def test_a_record_at_fault_is_refused_in_an_outage_as_well(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.inner.away = True
    with pytest.raises(InvalidRecord, match="partition 7"):
        made.log.append(TOPIC, [record("x", 7)])
    assert made.log.spooled_bytes() == 0


def test_what_waits_at_the_end_is_handed_on_by_the_next_process(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.inner.away = True
    made.log.append(TOPIC, [record("left behind", 0)]).result(30)
    made.log.close()
    assert len(list((made.folder / "spool").glob("*.spool"))) == 1
    _, log = made.start()
    wait_until(lambda: log.spooled_bytes() == 0, 40.0)
    assert made.stored(log) == [(0, b"left behind")]
    log.close()
    assert list((made.folder / "spool").iterdir()) == []


_CHILD = """
import sys, time
from pathlib import Path
from infra.contracts import SystemClock
from tests.infra.event_log.spooling.test_log import TOPIC, Outage, SpoolingEventLog, EventLogSettings, record
folder = Path(sys.argv[1])
settings = EventLogSettings(partitions=2)
inner = Outage(folder / "log.sqlite3", settings, SystemClock())
log = SpoolingEventLog(inner, folder / "spool", settings)
log.ensure_topic(TOPIC)
inner.away = True
for number in range(1000000):
    log.append(TOPIC, [record(str(number), number % 2)]).result(10)
    print('ack', number, flush=True)
"""


def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    acknowledged = acknowledged_by_the_killed(_CHILD, tmp_path, 25)
    made = bench()  # the next process of the same folder
    wait_until(lambda: made.log.spooled_bytes() == 0, 40.0)
    assert {int(value) for _, value in made.stored()} >= acknowledged


def test_a_file_in_use_is_left_alone(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.inner.away = True
    made.log.append(TOPIC, [record("mine", 0)]).result(30)
    _, other = made.start()
    assert other.spooled_bytes() == 0
    other.close()
    assert made.log.spooled_bytes() == 4


@pytest.mark.broker
def test_a_broker_killed_and_replaced_empty(tmp_path: Path, clock: ManualClock) -> None:
    """Events acknowledged while there is no broker stand in the next one."""
    port = free_port()
    settings = EventLogSettings.model_validate(
        {"kind": "kafka", "replication_factor": 1, "append_timeout_seconds": 2.0, "session_timeout_seconds": 6.0}
        | {"bootstrap_servers": f"127.0.0.1:{port}", "partitions": 2}
    )
    with ExitStack() as closing:
        with running_broker(port):
            log = SpoolingEventLog(KafkaEventLog(settings, clock), tmp_path, settings)
            closing.callback(log.close)
            log.ensure_topic(TOPIC)
            log.append(TOPIC, [record("before", 0)]).result(10)
        for number in range(5):
            assert log.append(TOPIC, [record(str(number), number % 2)]).result(10)[0].offset == SPOOLED
        with running_broker(port):
            wait_until(lambda: log.spooled_bytes() == 0, 40.0, "the spool to drain")
            consumer = log.consumer(TOPIC, "g")
            closing.callback(consumer.close)
            found: set[bytes] = set()
            wait_until(lambda: found.update(r.value for r in consumer.poll(10, 0.5)) or len(found) == 5, 40.0)
            log.close()
    assert found == {b"0", b"1", b"2", b"3", b"4"}
