"""The load on a gateway: HTTP/1.1 over keep-alive connections, in a process of its own, so that its CPU time is not the
product's, and on a core of its own where there are two. Requests are rendered beforehand and sockets are used bare:
what the load does for a request is one send and one receive.

Closed: each connection sends its next request when the last is answered. Open: requests begin when they are due, at
exponential distances (Poisson), on whichever connection is free; latency counts from when they were due, so that
neither a late load nor a busy connection hides anything. How late the load itself was is told beside it. It sleeps
between answers, to the microsecond, as another process works for the gateway on its core, and goes before that one
(`SCHED_FIFO`, where that may be set): it stands for other machines, which wait for nobody here before they send or read
the clock. What it takes is taken from the gateway's process there. Nothing else keeps that core awake: it wakes late
where it is a virtual machine's, but what would keep it busy instead, at however low a priority, may hold it for a tick
of the scheduler when load or spool want it, and slows the gateway where the two cores are threads of one.
"""

import gc
import json
import os
import random
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

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
"""Requests at the beginning of an open load that are not counted: caches are cold then."""
_RECEIVE_BYTES = 1 << 18


@dataclass
class Outcome:
    """What came of a load. Latencies are seconds from when a request was due to the last byte of its answer, `late`
    those of an open load from when it was due to when it was sent. `first`: it went before other processes."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    answered: int = 0
    refused: int = 0
    first: bool = False
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


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


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._received = b""
        self._due_at = 0.0

    def send(self, request: bytes, due_at: float) -> None:
        self._due_at = due_at
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request did not fit into an empty connection")

    def receive(self) -> tuple[bytes, float] | None:
        """(status, seconds) once the answer is complete."""
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the gateway closed a connection")
        self._received += data
        if not _complete(self._received):
            return None
        status, self._received = self._received[9:12], b""
        return status, time.perf_counter() - self._due_at


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
        self._due: list[float] | None = None
        self._idle: deque[_Connection] = deque()
        self._poll = select.epoll()
        if rate is not None:
            rng, at = random.Random(seed), 0.0
            self._due = []
            for _ in requests:
                at += rng.expovariate(rate)
                self._due.append(at)

    def run(self, port: int, connections: int) -> Outcome:
        made = [_Connection(port) for _ in range(connections)]
        by_number = {connection.socket.fileno(): connection for connection in made}
        for number in by_number:
            self._poll.register(number, select.EPOLLIN)
        self._idle.extend(made)
        self._began, cpu = time.perf_counter(), cpu_seconds()
        while self.outcome.answered < len(self._requests):
            self._send()
            select.select((self._poll,), (), (), self._patience())  # epoll itself waits for whole milliseconds
            for number, _ in self._poll.poll(0):
                self._receive(by_number[number])
        self.outcome.wall_seconds = time.perf_counter() - self._began
        self.outcome.cpu_seconds = cpu_seconds() - cpu
        for connection in made:
            connection.socket.close()
        return self.outcome

    def _send(self) -> None:
        """Send what may be sent now; connections take turns."""
        while self._idle and self._next < len(self._requests):
            now = time.perf_counter()
            due_at = now
            if self._due is not None:
                due_at = self._began + self._due[self._next]
                if due_at > now:
                    return
                if self._next >= _SETTLED:
                    self.outcome.late.append(now - due_at)
            self._next += 1
            self._idle.popleft().send(self._requests[self._next - 1], due_at)

    def _patience(self) -> float:
        """Seconds to wait for an answer before something else is to be done."""
        if self._due is None or self._next >= len(self._due) or not self._idle:
            return 1.0
        return max(0.0, self._began + self._due[self._next] - time.perf_counter())

    def _receive(self, connection: _Connection) -> None:
        answer = connection.receive()
        if answer is None:
            return
        status, seconds = answer
        outcome = self.outcome
        outcome.answered += 1
        outcome.refused += status != b"200"
        if self._due is None or outcome.answered > _SETTLED:
            outcome.latencies.append(seconds)
        self._idle.append(connection)


def stay_on(core: int | None) -> None:
    """Keep this process, with the threads it will have, on one core; None: wherever the system puts it."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def go_first(yes: bool) -> bool:
    """Run before every ordinary process whenever there is something to do, or no more; whether it does now."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO if yes else os.SCHED_OTHER, os.sched_param(int(yes)))
    except (AttributeError, OSError):
        return False
    return yes


def load(
    port: int,
    count: int,
    connections: int,
    rate: float | None,
    seed: int,
    stream: bool,
    core: int | None = None,
    first: bool = True,
) -> Outcome:
    """Put a load on the gateway and tell what came of it; to be called in a process of its own. On a core that the
    gateway does not work on it goes `first`."""
    stay_on(core)
    first = core is not None and go_first(first)
    requests = requests_of(count, port, seed, stream=stream)
    gc.collect()
    gc.disable()  # a pause of the load would be counted as the gateway's
    try:
        outcome = _Load(requests, rate, seed).run(port, connections)
        outcome.first = first
        return outcome
    finally:
        gc.enable()
