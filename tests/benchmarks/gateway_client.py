"""The load on a gateway: HTTP/1.1 over keep-alive connections, in a process of its own, so that its CPU time is not the
product's. Closed: each connection sends its next request when the last is answered. Open: requests begin when they are
due, at exponential distances (Poisson), on whichever connection is free; latency counts from when they were due.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from tests.benchmarks.ingest_processes import cpu_seconds

_USERS = 10_000
_QUESTIONS = (
    "How can I fall asleep faster?",
    "What is the capital of Norway, and what should I see there in two days?",
    "Write a short note to a colleague who leaves us after ten years.",
    "Why does bread rise, and why did mine not?",
)
_ANSWER = "Keep your room dark and cool, and put your phone away an hour before you go to bed."
_SETTLED = 32
"""Requests at the beginning of an open load that are not counted: connections are made then."""


@dataclass
class Outcome:
    """What came of a load. Latencies are seconds from when a request was due to the last byte of its answer."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    answered: int = 0
    refused: int = 0
    latencies: list[float] = field(default_factory=list)


def requests_of(count: int, port: int, seed: int, *, stream: bool = False) -> list[bytes]:
    """Chats of 1 to 3 turns by many people, no two alike, rendered beforehand."""
    rng = random.Random(seed)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    made = []
    for number in range(count):
        messages: list[dict[str, str]] = [{"role": "system", "content": "You are a helpful assistant."}]
        for _ in range(rng.randrange(3)):
            messages += [
                {"role": "user", "content": rng.choice(_QUESTIONS)},
                {"role": "assistant", "content": _ANSWER},
            ]
        messages.append({"role": "user", "content": f"{rng.choice(_QUESTIONS)} ({seed}-{number})"})
        body: dict[str, Any] = {
            "model": "plaudit",
            "messages": messages,
            "user": f"person-{rng.randrange(_USERS)}",
            "max_tokens": 64,
        }
        if stream:
            body["stream"] = True
        raw = json.dumps(body).encode()
        made.append(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    return made


class _Connection(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self._due_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._load.free(self)

    def send(self, request: bytes, due_at: float) -> None:
        self._due_at = due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if _complete(self._received):
            status, self._received = self._received[9:12], b""
            self._load.answered(self, status, time.perf_counter() - self._due_at)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self, error)


def _complete(received: bytes) -> bool:
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = received[:end].lower()
    at = head.find(b"content-length:")
    if at < 0:  # chunked
        return received.endswith(b"0\r\n\r\n")
    line = head.find(b"\r\n", at)
    return len(received) >= end + 4 + int(head[at + 15 : line if line >= 0 else None])


class _Load:
    """Hands requests to connections: as they are free, or as they are due."""

    def __init__(self, requests: list[bytes], rate: float | None, seed: int) -> None:
        self.outcome = Outcome()
        self._requests = requests
        self._next = 0
        self._idle: list[_Connection] = []
        self._due: list[float] | None = None
        self._waiting: list[int] = []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if rate is not None:
            rng, at = random.Random(seed), 0.0
            self._due = []
            for _ in requests:
                at += rng.expovariate(rate)
                self._due.append(at)

    async def run(self, port: int, connections: int) -> Outcome:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port) for _ in range(connections)]
        self._began, cpu = time.perf_counter(), cpu_seconds()
        if self._due is None:
            idle, self._idle = self._idle, []
            for connection in idle:
                self._feed(connection)
        else:
            self._release(loop)
        await self._done
        self.outcome.wall_seconds = time.perf_counter() - self._began
        self.outcome.cpu_seconds = cpu_seconds() - cpu
        for transport, _ in made:
            transport.close()
        return self.outcome

    def free(self, connection: _Connection) -> None:
        self._idle.append(connection)

    def answered(self, connection: _Connection, status: bytes, seconds: float) -> None:
        outcome = self.outcome
        outcome.answered += 1
        outcome.refused += status != b"200"
        if self._due is None or outcome.answered > _SETTLED:
            outcome.latencies.append(seconds)
        if outcome.answered == len(self._requests):
            self._done.set_result(None)
        else:
            self._feed(connection)

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        """A server may close what is idle, and a client's pool forgets it; anything else is a failure."""
        if connection in self._idle and len(self._idle) > 1:
            self._idle.remove(connection)
        elif not self._done.done():
            self._done.set_exception(error or ConnectionResetError("the gateway closed a connection"))

    def _feed(self, connection: _Connection) -> None:
        if self._due is not None:
            if self._waiting:
                self._send(connection, self._waiting.pop(0))
            else:
                self._idle.append(connection)
        elif self._next < len(self._requests):
            self._next += 1
            connection.send(self._requests[self._next - 1], time.perf_counter())

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what is due; come again when the next one is."""
        assert self._due is not None
        now = time.perf_counter() - self._began
        while self._next < len(self._due) and self._due[self._next] <= now:
            number, self._next = self._next, self._next + 1
            if self._idle:
                self._send(self._idle.pop(0), number)  # in turn, so that none lies idle until the server closes it
            else:
                self._waiting.append(number)
        if self._next < len(self._due):
            loop.call_later(max(0.0, self._due[self._next] - now), self._release, loop)

    def _send(self, connection: _Connection, number: int) -> None:
        assert self._due is not None
        connection.send(self._requests[number], self._began + self._due[number])


def load(port: int, count: int, connections: int, rate: float | None, seed: int, stream: bool) -> Outcome:
    """Put a load on the gateway and tell what came of it; to be called in a process of its own."""

    async def run() -> Outcome:
        requests = requests_of(count, port, seed, stream=stream)
        return await _Load(requests, rate, seed).run(port, connections)

    return uvloop.run(run())
