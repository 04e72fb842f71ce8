"""Appends that wait together: what requests bring while an append is under way goes onto the log as one.

Per append the log costs a wake-up of its writer, a flush of the disk and a callback into the event loop, whatever its
size. So no timer holds anything back: the first request goes at once, and those that come meanwhile share the next one.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple, Protocol

from infra.event_log import EventLog, Position, Record
from ingest.segments import join_segments

APPENDS_UNDER_WAY = 2
"""One that the log is making durable, one that it finds waiting when it is done."""
APPEND_BYTES = 4 * 1024 * 1024
"""About the most that goes onto the log as one."""
_SEGMENT_OVERHEAD_BYTES = 8


class Lot(NamedTuple):
    """One segment for one partition. `key` is a response id in it."""

    partition: int
    key: bytes
    segment: bytes


class _Waiting(NamedTuple):
    lots: Sequence[Lot]
    done: "asyncio.Future[None]"


class SharedAppends:
    """Appends segments to one topic. Belongs to one event loop."""

    def __init__(self, log: EventLog, topic: str, max_value_bytes: int) -> None:
        self._log = log
        self._topic = topic
        self._max_value_bytes = max_value_bytes
        self._waiting: list[_Waiting] = []
        self._under_way = 0
        self._flushing = False

    async def append(self, lots: Sequence[Lot]) -> None:
        """Returns when all are durable. Raises EventLogUnavailable; each segment must fit into a record."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(lots, loop.create_future())
        self._waiting.append(waiting)
        self._flush_soon(loop)
        await waiting.done

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._flushing and self._under_way < APPENDS_UNDER_WAY:
            self._flushing = True
            loop.call_soon(self._flush, loop)  # after the requests that this turn of the loop has read

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing = False
        taken = self._take()
        lots = [lot for waiting in taken for lot in waiting.lots]
        if lots:
            try:
                future = self._log.append(self._topic, records(lots, self._max_value_bytes))
            except Exception as error:
                settle(taken, error)
            else:
                self._under_way += 1
                future.add_done_callback(lambda done: self._tell(loop, done, taken))
        self._flush_soon(loop)

    def _take(self) -> list[_Waiting]:
        """Who waited longest, up to APPEND_BYTES; whoever went away meanwhile was promised nothing."""
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and size < APPEND_BYTES:
            waiting = self._waiting.pop(0)
            if not waiting.done.cancelled():
                taken.append(waiting)
                size += sum([len(lot.segment) for lot in waiting.lots])
        return taken

    def _tell(self, loop: asyncio.AbstractEventLoop, done: "Future[list[Position]]", taken: list[_Waiting]) -> None:
        """On the log's thread: back to the loop, unless it has ended, and everybody in it."""
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._landed, loop, done, taken)

    def _landed(self, loop: asyncio.AbstractEventLoop, done: "Future[list[Position]]", taken: list[_Waiting]) -> None:
        self._under_way -= 1
        settle(taken, done.exception())
        self._flush_soon(loop)


class Ends(Protocol):
    """A future, of asyncio's or an inline one."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Awaited(Protocol):
    """Something that somebody waits for."""

    @property
    def done(self) -> Ends: ...


def settle(taken: Sequence[Awaited], error: BaseException | None) -> None:
    """Tell everybody who still waits how it went."""
    for waiting in taken:
        if waiting.done.done():
            continue
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)


def records(lots: Sequence[Lot], max_value_bytes: int) -> list[Record]:
    """Records that hold the segments, each of one partition and at most `max_value_bytes` long, as few as may be."""
    made: list[Record] = []
    by_partition: dict[int, list[Lot]] = {}
    for lot in lots:
        by_partition.setdefault(lot.partition, []).append(lot)
    for partition, some in by_partition.items():
        start, size = 0, _SEGMENT_OVERHEAD_BYTES
        for index, lot in enumerate(some):
            if index > start and size + len(lot.segment) > max_value_bytes:
                made.append(_record(partition, some[start:index]))
                start, size = index, _SEGMENT_OVERHEAD_BYTES
            size += len(lot.segment)
        made.append(_record(partition, some[start:]))
    return made


def _record(partition: int, lots: Sequence[Lot]) -> Record:
    return Record(key=lots[0].key, value=join_segments([lot.segment for lot in lots]), partition=partition)
