"""Requests that come together share appends; each learns what became of its own."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from infra.event_log import EventLogUnavailable, Record
from ingest.appending import APPENDS_UNDER_WAY, Lot, SharedAppends, records
from ingest.segments import decode_segments, encode_segment

if TYPE_CHECKING:
    from infra.event_log import EventLog


def lot(partition: int, size: int = 0) -> Lot:
    return Lot(partition, b"r", encode_segment("p" * (size or 1), 1.0, "api", []))


class Slow:
    """A log whose appends are answered by hand."""

    def __init__(self) -> None:
        self.appends: list[tuple[Sequence[Record], Future[Any]]] = []

    def append(self, topic: str, some: Sequence[Record]) -> "Future[Any]":
        future: Future[Any] = Future()
        self.appends.append((some, future))
        return future


def test_what_comes_meanwhile_shares_the_next_append() -> None:
    async def scenario() -> None:
        log = Slow()
        shared = SharedAppends(log, "t", 10_000)  # type: ignore[arg-type]
        tasks = []
        for _ in range(APPENDS_UNDER_WAY + 5):
            tasks.append(asyncio.create_task(shared.append([lot(0), lot(1)])))
            await asyncio.sleep(0.001)
        assert [len(some) for some, _ in log.appends] == [2] * APPENDS_UNDER_WAY
        tasks[-1].cancel()
        await asyncio.sleep(0)
        log.appends[0][1].set_result([])
        await tasks[0]
        await asyncio.sleep(0.01)
        last, future = log.appends[-1]
        assert len(log.appends) == APPENDS_UNDER_WAY + 1
        assert [len(decode_segments(record.value)) for record in last] == [4, 4]  # of five, one went away
        log.appends[1][1].set_exception(EventLogUnavailable("later"))
        future.set_result([])
        with pytest.raises(EventLogUnavailable):
            await tasks[1]
        await asyncio.gather(*tasks[APPENDS_UNDER_WAY:-1])

    asyncio.run(scenario())


def test_records_are_as_few_as_fit() -> None:
    lots = [lot(0, 400), lot(1, 400), lot(0, 400), lot(0, 400)]
    made = records(lots, 1000)
    assert [(record.partition, len(decode_segments(record.value))) for record in made] == [(0, 2), (0, 1), (1, 1)]
    assert all(len(record.value) <= 1000 for record in made)


def test_on_the_real_log_all_are_durable(event_log: "EventLog") -> None:
    async def scenario() -> None:
        event_log.ensure_topic("t")
        shared = SharedAppends(event_log, "t", 10_000)
        await asyncio.gather(*(shared.append([lot(number % 2)]) for number in range(100)))

    asyncio.run(scenario())
    consumer = event_log.consumer("t", "g")
    found: list[Any] = []
    while (some := consumer.poll(100, 0.2)) or not found:
        found += some
    consumer.close()
    assert sum(len(decode_segments(record.value)) for record in found) == 100
    assert len(found) < 100
