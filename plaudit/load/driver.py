"""Puts the load on.

Closed loop: so many clients, each sends its next request when it has its answer. A slow server is asked less, so its
worst moments are asked about least (coordinated omission). Open loop: requests begin at intended instants, whatever
became of the earlier ones, and latency counts from the intended instant, so that nobody's waiting is left out.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from plaudit.load.answers import Reading, Sample
from plaudit.load.connection import Broken, Head, Pool
from plaudit.load.plan import Messages, Plan, bodies, starts

OnSample = Callable[[Sample], None]


class Driver:
    """One load. `run` returns when every request has ended; `stop` ends it early, without new requests."""

    def __init__(self, plan: Plan, prompts: Sequence[Messages], on_sample: OnSample) -> None:
        tls, host, port, path = plan.target
        self._plan = plan
        self._on_sample = on_sample
        self._pool = Pool(host, port, tls)
        self._bodies: Iterator[bytes] = bodies(plan, prompts)
        self._head = _head(host, port, path, plan.api_key)
        self._stopping = asyncio.Event()
        self.in_flight = 0

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> float:
        """Put the load on; returns the seconds from the first intended start to the last answer."""
        began = time.perf_counter()
        try:
            await (self._closed(began) if self._plan.rate is None else self._open(began, self._plan.rate))
        finally:
            self._pool.close()
        return time.perf_counter() - began

    async def _closed(self, began: float) -> None:
        async def client() -> None:
            while not self._stopping.is_set() and time.perf_counter() - began < self._plan.seconds:
                await self._request(time.perf_counter())

        await asyncio.gather(*(client() for _ in range(self._plan.concurrency)))

    async def _open(self, began: float, rate: float) -> None:
        room = asyncio.Semaphore(self._plan.in_flight)
        under_way: set[asyncio.Task[None]] = set()

        async def limited(intended: float) -> None:
            async with room:
                await self._request(intended)

        for start in starts(self._plan, rate):
            if start >= self._plan.seconds or await self._stopped(began + start):
                break
            _keep(under_way, limited(began + start))
        while under_way:
            await asyncio.wait(under_way)

    async def _stopped(self, until: float) -> bool:
        """Wait until that instant; True when the load was stopped meanwhile."""
        left = until - time.perf_counter()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), left)
        elif not self._stopping.is_set():
            await asyncio.sleep(0)  # late: the answers must be read all the same
        return self._stopping.is_set()

    async def _request(self, intended: float) -> None:
        body = next(self._bodies)
        request = b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        reading, head, code = Reading(self._plan.stream), Head(), None
        self.in_flight += 1
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._plan.timeout_seconds), self._pool.connection() as connection:
                head = await connection.exchange(request, reading.take)
            code = reading.problem(head.status)
        except Broken:
            code = "connection_broken" if reading.first_token else "connection_failed"
        except TimeoutError:
            code = "timeout"
        self.in_flight -= 1
        self._on_sample(
            Sample(
                intended=intended,
                started=started,
                finished=time.perf_counter(),
                status=head.status,
                code=code,
                first_token=reading.first_token,
                gaps=tuple(reading.gaps),
                prompt_tokens=reading.usage.prompt_tokens,
                completion_tokens=reading.usage.completion_tokens,
                adapter=head.headers.get("x-plaudit-adapter"),
            )
        )


def _head(host: str, port: int, path: str, api_key: str | None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/json"]
    if api_key:
        lines.append(f"Authorization: Bearer {api_key}")
    return "\r\n".join([*lines, "Content-Length: "]).encode()


def _keep(tasks: set["asyncio.Task[None]"], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
