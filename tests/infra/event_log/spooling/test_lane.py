"""What an event loop gives the spool's own process is durable once that says so, whatever becomes of the process."""

import asyncio
import errno
import os
import random
import signal
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.contracts import SystemClock
from infra.event_log import EventLogUnavailable
from infra.event_log.embedded.keeping import KeepingEventLog
from infra.event_log.factory import open_event_log
from infra.event_log.partitioning import InvalidRecord
from infra.event_log.port import KeepsFromLoop
from infra.event_log.spooling import lane
from infra.event_log.spooling.claiming import left_behind
from infra.metrics import catalogue
from infra.settings import Settings
from tests.conformance.logs import record
from tests.fixtures.helpers import wait_until
from tests.infra.event_log.embedded.test_keeping import stored
from tests.infra.event_log.killing import acknowledged_by_the_killed

TOPIC = "plaudit.test"
START_SECONDS = 60.0
Start = Callable[..., KeepingEventLog]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as closing:

        def started(**changes: object) -> KeepingEventLog:
            log = open_event_log(settings_of(tmp_path, **changes), SystemClock())
            assert isinstance(log, KeepingEventLog)
            closing.callback(log.close)
            log.ensure_topic(TOPIC)
            return log

        yield started


def settings_of(folder: Path, **changes: object) -> Settings:
    return Settings.model_validate(
        {"data_dir": folder, "event_log": {"partitions": 2, "append_timeout_seconds": 5.0} | changes}
    )


def spoolers(parent: int | None = None) -> list[psutil.Process]:
    """The processes of spools that a process has started, this one if none is named."""
    found = []
    for one in psutil.Process(parent or os.getpid()).children():
        try:
            if "infra.runtime.spooler" in one.cmdline() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.NoSuchProcess:
            pass
    return found


def on_a_loop(log: KeepsFromLoop, work: Callable[["Keeping"], Awaitable[None]]) -> None:
    """Do it on an event loop, once the process is there."""

    async def run() -> None:
        keeping = Keeping(log)
        try:
            await keeping.until_apart()
            await work(keeping)
        finally:
            log.leave()

    asyncio.run(run())


class Keeping:
    """Keeps from the loop it runs on, by the process where it is there and by threads else, as the gateway does."""

    def __init__(self, log: KeepsFromLoop) -> None:
        self._log = log
        self.apart = self.here = 0

    async def keep(self, value: str, partition: int = 0) -> None:
        """Returns once it is durable. Raises what keeping it failed with."""
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(error)

        if self._log.keep_from_loop(loop, TOPIC, [record(value, partition)], done):
            self.apart += 1
            await durable
        else:
            self.here += 1
            await asyncio.wrap_future(self._log.keep(TOPIC, [record(value, partition)]))

    async def until_apart(self) -> None:
        """Tend it until it keeps apart."""
        began, before = time.monotonic(), self.apart
        while self.apart == before:
            assert time.monotonic() - began < START_SECONDS, "the spool's process takes nothing"
            await asyncio.to_thread(self._log.tend)
            await asyncio.sleep(0.05)
            await self.keep("warm")


def values(log: KeepingEventLog) -> set[bytes]:
    wait_until(lambda: log.spooled_bytes() == 0, START_SECONDS, "the spool to drain")
    return {value for _, value in stored(log)}


def test_what_is_kept_apart_is_on_the_log_soon_and_counted_here(start: Start) -> None:
    log = start()
    counted = catalogue.EVENT_LOG_APPENDED_RECORDS.labels(TOPIC)
    before = counted._value.get()

    async def run(keeping: Keeping) -> None:
        here = keeping.here
        await asyncio.gather(*(keeping.keep(str(number), number % 2) for number in range(300)))
        assert keeping.here == here, "none of them by a thread of this process"
        await asyncio.to_thread(wait_until, lambda: log.spooled_bytes() == 0, START_SECONDS)
        counts = "what the other process hands on counts in this one's metrics"  # an answer may tell first that it has
        await asyncio.to_thread(wait_until, lambda: counted._value.get() - before >= 300, START_SECONDS, counts)
        before_wake = log._writer.committed.count()
        await keeping.keep("wakes")
        woken = "who consumes here to be woken by a commit made there"
        await asyncio.to_thread(wait_until, lambda: log._writer.committed.count() > before_wake, START_SECONDS, woken)

    on_a_loop(log, run)
    log.close()
    assert not spoolers()
    assert values(start()) == {*(str(number).encode() for number in range(300)), b"warm", b"wakes"}


def test_nothing_is_lost_when_the_process_is_killed_again_and_again(start: Start, tmp_path: Path) -> None:
    """Twelve kills at random moments: every append resolves, and everything is on the log."""
    log = start()
    sent: set[bytes] = set()

    async def run(keeping: Keeping) -> None:
        rng = random.Random(7)
        under_way: list[asyncio.Task[None]] = []
        kills = 0
        while kills < 12:
            for _ in range(rng.randrange(1, 60)):
                value = f"{kills}-{len(sent)}"
                sent.add(value.encode())
                under_way.append(asyncio.ensure_future(keeping.keep(value, len(sent) % 2)))
            await asyncio.sleep(rng.random() / 100)
            for process in spoolers():
                process.kill()
                kills += 1
            log._spool._lane._not_before = 0.0  # type: ignore[union-attr]  # without its pauses
            await asyncio.to_thread(log.tend)
            if rng.random() < 0.7:
                await keeping.until_apart()
        await asyncio.gather(*under_way)
        assert keeping.apart > 12

    on_a_loop(log, run)
    log.close()
    assert values(start()) >= sent
    assert not left_behind(tmp_path / "spool")


_CHILD = """
import asyncio, sys
from pathlib import Path
from infra.contracts import SystemClock
from infra.event_log.factory import open_event_log
from tests.infra.event_log.spooling.test_lane import TOPIC, Keeping, settings_of
async def main():
    log = open_event_log(settings_of(Path(sys.argv[1])), SystemClock())
    log.ensure_topic(TOPIC)
    keeping = Keeping(log)
    await keeping.until_apart()
    async def lane(first):
        for number in range(first, 1 << 40, 8):
            await keeping.keep(str(number), number % 2)
            print('ack', number, flush=True)
    await asyncio.gather(*map(lane, range(8)))
asyncio.run(main())
"""


def test_a_killed_gateway_loses_nothing_and_leaves_no_process(start: Start, tmp_path: Path) -> None:
    before = {one.pid for one in psutil.process_iter()}
    acknowledged = acknowledged_by_the_killed(_CHILD, tmp_path, 600)

    def gone() -> bool:
        others = [one for one in psutil.process_iter(["cmdline"]) if one.pid not in before]
        return not any("infra.runtime.spooler" in (one.info["cmdline"] or ()) for one in others)

    wait_until(gone, 30.0, "the spool's process to end after its gateway")
    assert {int(value) for value in values(start()) if value != b"warm"} >= acknowledged


def test_a_process_that_hangs_is_ended_and_threads_keep_what_it_had(start: Start) -> None:
    log = start(append_timeout_seconds=3.0)

    async def run(keeping: Keeping) -> None:
        (process,) = spoolers()
        process.send_signal(signal.SIGSTOP)
        waiting = asyncio.ensure_future(keeping.keep("meanwhile"))
        await asyncio.sleep(1.7)
        assert not waiting.done()
        await asyncio.to_thread(log.tend)
        await asyncio.wait_for(waiting, 10)
        here = keeping.here
        await keeping.keep("after")
        assert keeping.here == here + 1

    on_a_loop(log, run)
    log.close()
    assert {b"meanwhile", b"after"} <= values(start())


def test_what_a_killed_process_had_kept_is_handed_on_by_this_one(start: Start, tmp_path: Path) -> None:
    log = start()

    async def run(keeping: Keeping) -> None:
        holder = sqlite3.connect(tmp_path / "log.sqlite3", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")  # so that it cannot hand on
        try:
            await keeping.keep("kept apart")
            for process in spoolers():
                process.kill()
                await asyncio.to_thread(process.wait)
            await asyncio.sleep(0.1)
        finally:
            holder.execute("ROLLBACK")
            holder.close()
        found = "what was left to be on the log"
        await asyncio.to_thread(wait_until, lambda: (0, b"kept apart") in stored(log), 20.0, found)

    on_a_loop(log, run)
    assert not spoolers(), "it was not started again, as nobody tended"


class _Broken:
    """A socket whose next sends fail, as when the kernel has no memory for them, while the other side lives."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.failing = True

    def send(self, data: bytes) -> int:
        if self.failing:
            raise OSError(errno.ENOBUFS, "no room")
        return self._inner.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_what_could_not_be_sent_is_not_taken_for_what_was(start: Start) -> None:
    log = start()

    async def run(keeping: Keeping) -> None:
        connection = log._spool._lane._connection  # type: ignore[union-attr]
        assert connection is not None
        broken = _Broken(connection._socket)
        connection._socket = broken  # type: ignore[assignment]
        first = asyncio.ensure_future(keeping.keep("not sent"))
        second = asyncio.ensure_future(keeping.keep("after it"))
        await asyncio.sleep(0)
        broken.failing = False
        await asyncio.gather(first, second)

    on_a_loop(log, run)
    log.close()
    assert {b"not sent", b"after it"} <= values(start())


def test_a_call_back_that_fails_leaves_the_others_alone(start: Start) -> None:
    log = start()

    async def run(keeping: Keeping) -> None:
        loop, heard = asyncio.get_running_loop(), [loop_future() for _ in range(5)]

        def done(place: int) -> Callable[[BaseException | None], None]:
            def call(error: BaseException | None) -> None:
                heard[place].set_result(error)
                if place == 1:
                    raise RuntimeError("a fault")

            return call

        for place in range(5):
            assert log.keep_from_loop(loop, TOPIC, [record(str(place), 0)], done(place))
        assert await asyncio.wait_for(asyncio.gather(*heard), 10) == [None] * 5

    on_a_loop(log, run)


def loop_future() -> "asyncio.Future[BaseException | None]":
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("leaving", [True, False])
def test_the_last_pass_hands_on_everything(start: Start, tmp_path: Path, leaving: bool) -> None:
    """Many batches wait as the gateway ends; whoever still tends does not end the process that hands them on."""
    log = start()

    async def run(keeping: Keeping) -> None:
        await asyncio.gather(*(keeping.keep(f"{number} {'x' * 2000}") for number in range(2000)))
        if leaving:
            log.leave()
            log.tend()
        began = time.monotonic()
        await asyncio.to_thread(log.close)
        assert time.monotonic() - began < 20, "it waited for a process that did not know"

    on_a_loop(log, run)
    assert not left_behind(tmp_path / "spool")
    assert len(values(start())) >= 2000


def test_nothing_waits_for_a_process_that_starts(start: Start) -> None:
    log = start()

    async def run() -> None:
        keeping = Keeping(log)
        await asyncio.to_thread(log.tend)
        await keeping.keep("while it starts")
        assert (keeping.apart, keeping.here) == (0, 1)
        await keeping.until_apart()
        log.leave()

    asyncio.run(run())


def test_signals_to_everybody_leave_it_to_its_gateway(start: Start) -> None:
    log = start()

    async def run(keeping: Keeping) -> None:
        (process,) = spoolers()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        here = keeping.here
        await keeping.keep("still here")
        assert keeping.here == here

    on_a_loop(log, run)


def test_a_full_spool_refuses_by_the_usual_way(start: Start, tmp_path: Path) -> None:
    log = start(spool_limit_bytes=2000)

    async def run(keeping: Keeping) -> None:
        with pytest.raises(EventLogUnavailable, match="does not keep up"):
            await keeping.keep("x" * 4000)
        with pytest.raises(InvalidRecord, match="partition 7"):
            await keeping.keep("x", 7)
        here = keeping.here
        await keeping.keep("small")
        assert keeping.here == here

    on_a_loop(log, run)


def test_a_log_that_is_away_fills_the_spool_and_what_is_left_is_adopted(start: Start, tmp_path: Path) -> None:
    """The process cannot hand on while somebody holds the log's write lock; it ends, and who comes next hands on."""
    log = start(append_timeout_seconds=1.0)

    async def run(keeping: Keeping) -> None:
        holder = sqlite3.connect(tmp_path / "log.sqlite3", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        try:
            for number in range(20):
                await keeping.keep(str(number))
            assert log.spooled_bytes() > 0
            await asyncio.sleep(2.0)  # until it knows
            log.leave()
            await asyncio.to_thread(log.close)
        finally:
            holder.execute("ROLLBACK")
            holder.close()

    on_a_loop(log, run)
    assert left_behind(tmp_path / "spool")
    assert {str(number).encode() for number in range(20)} <= values(start())


def test_operators_see_a_process_that_never_speaks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "PROGRAM", "infra.runtime.no_such_program")
    up = catalogue.EVENT_LOG_SPOOL_PROCESS_UP
    up.set(1)
    log = start()

    async def run() -> None:
        keeping = Keeping(log)
        await keeping.keep("by threads")
        began = time.monotonic()
        while up._value.get() != 0:
            assert time.monotonic() - began < START_SECONDS, "nobody is told"
            await asyncio.to_thread(log.tend)
            await asyncio.sleep(0.05)
        log.leave()

    asyncio.run(run())
    log.close()
    assert values(start()) == {b"by threads"}


def test_operators_see_that_it_is_back_although_nothing_is_to_be_kept(start: Start) -> None:
    log = start()
    up = catalogue.EVENT_LOG_SPOOL_PROCESS_UP

    async def run(keeping: Keeping) -> None:
        assert up._value.get() == 1
        for process in spoolers():
            process.kill()
        for wanted in (0, 1):
            began = time.monotonic()
            while up._value.get() != wanted:
                assert time.monotonic() - began < START_SECONDS, f"it is never {wanted}"
                await asyncio.to_thread(log.tend)
                await asyncio.sleep(0.02)

    on_a_loop(log, run)


def test_by_setting_there_is_none(start: Start) -> None:
    log = start(spool_process=False)

    async def run() -> None:
        keeping = Keeping(log)
        for _ in range(3):
            await asyncio.to_thread(log.tend)
            await keeping.keep("here")
        assert (keeping.apart, keeping.here) == (0, 3)

    asyncio.run(run())
    assert not spoolers()


def test_what_a_process_leaves_while_this_one_lives_is_adopted(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.event_log.spooling import drain
    from infra.event_log.spooling.claiming import claim
    from infra.event_log.spooling.files import content_of

    monkeypatch.setattr(drain, "_IDLE_SECONDS", 0.2)
    log = start()
    log.keep(TOPIC, [record("own", 0)]).result(10)
    (own, *_) = claim(tmp_path / "spool")
    own.write([content_of(TOPIC, [record("left", 1)], [1])], [1], [4])
    own.close()  # as the kernel does for a process that dies
    wait_until(lambda: (1, b"left") in stored(log), START_SECONDS, "the file to be adopted")
