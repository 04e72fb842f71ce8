"""The load generator: HTTP/1.1 over keep-alive connections, each sending its next request when the last is answered.

A process of its own, so that its CPU time is not the product's. Requests are rendered beforehand; an answer is read as
far as its status and length. `PLAUDIT` is not imported here beyond the traffic.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop


@dataclass
class Outcome:
    """What came of a load: seconds from the first request to the last answer, and the latencies of requests."""

    wall_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refused: int = 0


def rendered(bodies: Sequence[bytes], port: int) -> list[bytes]:
    """Requests to `POST /v1/feedback`."""
    head = f"POST /v1/feedback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], outcome: Outcome, pause: "Pacer", done: "asyncio.Future[None]"):
        self._requests = requests
        self._outcome = outcome
        self._pacer = pause
        self._done = done
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
        if len(self._received) < end + 4 + length:
            return
        self._received = b""
        self._outcome.latencies.append(time.perf_counter() - self._sent_at)
        if head[9:12] != b"202":
            self._outcome.refused += 1
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the API closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        wait = self._pacer.wait_seconds()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._send, request)
        else:
            self._send(request)

    def _send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class Pacer:
    """Spreads requests evenly over time; no rate: as fast as they are answered."""

    def __init__(self, requests_per_second: float | None) -> None:
        self._gap = 1.0 / requests_per_second if requests_per_second else 0.0
        self._due = time.perf_counter()

    def wait_seconds(self) -> float:
        if not self._gap:
            return 0.0
        self._due = max(self._due + self._gap, time.perf_counter() - 0.5)
        return self._due - time.perf_counter()


async def _load(port: int, requests: list[bytes], connections: int, rate: float | None) -> Outcome:
    loop = asyncio.get_running_loop()
    outcome, pacer, left = Outcome(), Pacer(rate), iter(requests)
    done = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    for future in done:
        await loop.create_connection(lambda f=future: _Connection(left, outcome, pacer, f), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*done)
    outcome.wall_seconds = time.perf_counter() - started
    return outcome


def load(port: int, requests: list[bytes], connections: int = 8, rate: float | None = None) -> Outcome:
    """Send all requests; `rate` in requests a second."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(port, requests, connections, rate))
