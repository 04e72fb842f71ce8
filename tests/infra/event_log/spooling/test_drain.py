"""What waits is handed on by the lot, however steadily more comes."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infra.event_log.deadlines import Acknowledgement, resolve
from infra.event_log.port import Position, Record
from infra.event_log.spooling.claiming import claim
from infra.event_log.spooling.drain import BATCH_RECORDS, GATHER_SECONDS, Drain
from infra.event_log.spooling.files import SpoolFile, content_of
from tests.fixtures.helpers import wait_until


class Busy:
    """A log that is given something more to take each time it takes something: a steady stream."""

    def __init__(self, file: SpoolFile, more: int) -> None:
        self.drain: Drain | None = None
        self.at: list[float] = []
        self.taken: list[bytes] = []
        self._file = file
        self._more = more

    def spool(self) -> None:
        record = Record(key=b"k", value=b"%d" % self._more)
        self._file.write([content_of("t", [record], [0])], [1], [len(record.value)])
        if self.drain is not None:
            self.drain.wake()

    def ensure_topic(self, topic: str) -> None:
        pass

    def partitions(self, topic: str) -> int:
        return 1

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        self.at.append(time.monotonic())
        self.taken += [record.value for record in records]
        if self._more:
            self._more -= 1
            self.spool()
        done = Acknowledgement()
        resolve(done, [Position(topic=topic, partition=0, offset=place) for place in range(len(records))])
        return done


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    files = claim(tmp_path)
    log = Busy(files[0], 3)
    log.drain = Drain(log, files, tmp_path, 5.0, lambda: None)
    log.spool()
    yield log
    log.drain.finish(last_pass=True)
    log.drain.close_files()


def test_a_steady_stream_is_gathered(busy: Busy) -> None:
    assert busy.drain is not None
    wait_until(lambda: len(busy.taken) == 4)
    assert busy.taken == [b"3", b"2", b"1", b"0"]
    assert all(later - before >= 0.9 * GATHER_SECONDS for before, later in zip(busy.at, busy.at[1:], strict=False))
    wait_until(lambda: not busy.drain.waiting_bytes() if busy.drain is not None else False)


def test_the_last_pass_takes_what_comes_meanwhile(busy: Busy) -> None:
    assert busy.drain is not None
    wait_until(lambda: len(busy.taken) >= 1)
    busy.drain.finish(last_pass=True)
    assert busy.taken == [b"3", b"2", b"1", b"0"]
    assert not busy.drain.waiting_bytes()


def test_a_pass_takes_as_many_lots_as_wait(tmp_path: Path) -> None:
    """What an outage has left is not gathered once more, lot by lot."""
    files = claim(tmp_path)
    log = Busy(files[0], 0)
    for _ in range(2 * BATCH_RECORDS + 1):
        log.spool()
    log.drain = Drain(log, files, tmp_path, 5.0, lambda: None)
    wait_until(lambda: len(log.taken) == 2 * BATCH_RECORDS + 1)
    log.drain.finish(last_pass=False)
    log.drain.close_files()
    assert len(log.at) == 3
    assert log.at[-1] - log.at[0] < 2 * GATHER_SECONDS
