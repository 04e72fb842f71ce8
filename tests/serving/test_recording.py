"""Interactions become durable in batches, here first, and never silently not at all."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from infra.contracts import Answer, Interaction, Message, SystemClock, new_response_id
from infra.event_log import EventLogUnavailable, InvalidRecord, Position, Record
from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.spooling.log import SpoolingEventLog
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings
from infra.settings.serving import ServingSettings
from serving.mailbox import Mailbox
from serving.recording import LogUnhealthy, Recorder


def interaction(text: str = "hello") -> Interaction:
    name = new_response_id()
    return Interaction(
        project="default",
        response_id=name,
        conversation_id=name,
        created_at=1.0,
        messages=(Message("user", text),),
        answers=(Answer(0, "hi", "stop", (1,), (-1.0,), (-1.0,)),),
    )


class SlowLog:
    """A log that acknowledges, or fails, when told to."""

    def __init__(self) -> None:
        self.appends: list[tuple[Sequence[Record], Future[list[Position]]]] = []
        self.wrong: str | None = None

    def ensure_topic(self, topic: str) -> None:
        if self.wrong is not None:
            raise EventLogUnavailable(self.wrong)

    def partitions(self, topic: str) -> int:
        return 2

    def append(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        future: Future[list[Position]] = Future()
        self.appends.append((records, future))
        return future

    def healthy(self) -> str | None:
        return self.wrong


def items(records: Sequence[Record]) -> list[Interaction]:
    return [one for record in records for one in msgspec.msgpack.decode(record.value, type=list[Interaction])]


def recorder_on(log: object, **serving: object) -> Recorder:
    recorder = Recorder(log, Settings(serving=ServingSettings(**serving)))  # type: ignore[arg-type]
    recorder.observe()
    return recorder


def test_what_ends_together_is_appended_together_and_waits_until_durable() -> None:
    async def run() -> None:
        log = SlowLog()
        recorder = recorder_on(log)
        sent = [interaction() for _ in range(20)]
        tasks = [asyncio.ensure_future(recorder.record(one)) for one in sent]
        await asyncio.sleep(0.01)
        ((records, future),) = log.appends
        assert len(records) <= 2  # one a partition
        assert sorted(items(records), key=str) == sorted(sent, key=str)
        assert not any(task.done() for task in tasks)
        future.set_result([])
        assert await asyncio.gather(*tasks) == [True] * 20

    asyncio.run(run())


def test_at_most_two_appends_are_under_way() -> None:
    async def run() -> None:
        log = SlowLog()
        recorder = recorder_on(log)
        tasks = []
        for _ in range(4):
            tasks.append(asyncio.ensure_future(recorder.record(interaction())))
            await asyncio.sleep(0.005)
        assert [len(items(records)) for records, _ in log.appends] == [1, 1]
        log.appends[0][1].set_result([])
        await asyncio.sleep(0.01)
        assert [len(items(records)) for records, _ in log.appends] == [1, 1, 2]
        for _, future in log.appends[1:]:
            future.set_result([])
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_failed_append_fails_everybody_in_it_or_lets_them_pass_by_setting() -> None:
    async def run(allowed: bool) -> list[bool | BaseException]:
        log = SlowLog()
        recorder = recorder_on(log, serve_unlogged=allowed)
        tasks = [asyncio.ensure_future(recorder.record(interaction())) for _ in range(2)]
        await asyncio.sleep(0.01)
        log.appends[0][1].set_exception(EventLogUnavailable("no"))
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(one, EventLogUnavailable) for one in asyncio.run(run(False)))
    assert asyncio.run(run(True)) == [False, False]


def test_what_is_too_large_is_refused_alone() -> None:
    async def run() -> None:
        log = SlowLog()
        recorder = recorder_on(log)
        small = asyncio.ensure_future(recorder.record(interaction()))
        with pytest.raises(InvalidRecord):
            await recorder.record(interaction("x" * (1 << 26)))
        await asyncio.sleep(0.01)
        log.appends[0][1].set_result([])
        assert await small

    asyncio.run(run())


def test_health_is_observed_elsewhere_and_only_read_here() -> None:
    log = SlowLog()
    log.wrong = "no broker"
    recorder = recorder_on(log)
    with pytest.raises(LogUnhealthy, match="no broker"):
        recorder.check()
    recorder_on(log, serve_unlogged=True).check()
    log.wrong = None
    recorder.observe()
    recorder.check()


def test_before_a_broker_answers_are_durable_here_first_and_handed_on(tmp_path: Path) -> None:
    """An outage fills the spool; a full spool refuses; what was kept arrives once the log is back."""
    settings = EventLogSettings(spool_limit_bytes=60_000, append_timeout_seconds=5)
    inner = SqliteEventLog(tmp_path / "log.sqlite3", settings, SystemClock())
    log = SpoolingEventLog(Outage(inner), tmp_path / "spool", settings)  # type: ignore[arg-type]
    sent: list[Interaction] = []

    async def run() -> None:
        recorder = recorder_on(log)
        full = False
        while not full and len(sent) < 200:
            one = interaction("x" * 1000)
            try:
                assert await recorder.record(one)
                sent.append(one)
            except EventLogUnavailable:
                full = True
        assert full

    Outage.away.set()
    asyncio.run(run())
    assert 20 < len(sent) < 60
    Outage.away.clear()
    topic = "plaudit.interactions"
    consumer = inner.consumer(topic, "test")
    found: dict[str, Interaction] = {}
    for _ in range(200):
        for record in consumer.poll(1000, 0.1):
            found |= {one.response_id: one for one in msgspec.msgpack.decode(record.value, type=list[Interaction])}
        if len(found) >= len(sent):
            break
    consumer.close()
    log.close()
    assert set(found) == {one.response_id for one in sent}


class Outage:
    """A log that is away while the event is set."""

    away = threading.Event()

    def __init__(self, inner: SqliteEventLog) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def append(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        if self.away.is_set():
            raise EventLogUnavailable("away")
        return self._inner.append(topic, records)

    def healthy(self) -> str | None:
        return "away" if self.away.is_set() else None


def test_a_mailbox_delivers_every_letter_in_its_sender_s_order() -> None:
    async def run() -> list[tuple[int, int]]:
        box, got = Mailbox(asyncio.get_running_loop()), []
        threads = [
            threading.Thread(target=lambda n=n: [box.post(got.append, (n, i)) for i in range(500)])  # type: ignore[misc]
            for n in range(3)
        ]
        box.post(int, "no number")  # one failure swallows nothing
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await asyncio.sleep(0.01)
        return got

    got = asyncio.run(run())
    assert [[i for who, i in got if who == n] for n in range(3)] == [list(range(500))] * 3
