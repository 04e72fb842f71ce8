"""Connections: what uvicorn does not do for a gateway that strangers reach.

**Offers to upgrade.** A server may ignore the header `Upgrade` (RFC 9110, 7.8), and clients count on it: Java's own
offers HTTP/2 with every first request in the clear. httptools stops at the end of such a head, so that the request
would arrive without its body.

**Heads that go out alone.** uvicorn writes head and body of an answer one after the other, and uvloop hands each to the
system at once: two segments, and whoever reads them is woken twice.

**Tasks that begin in the next turn of the loop**: completions run in inline tasks, which begin, and go on, at once.

**Connections that ask for nothing** are closed before they are all that this process may have open.

uvicorn gives a connection time between two requests, and the gateway a request time for its body and its answer. Nobody
gives a head time to come: a connection that was opened and never used, one that stops in the middle of its first head
and one that trickles bytes after its answer would be held for ever, each with one of the process's descriptors.
"""

import asyncio
import contextvars
import re
import socket
import time
from collections.abc import Iterable
from typing import Any, Protocol, cast

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.runtime.inline import InlineTask
from serving.api import CHAT, COMPLETIONS

log = structlog.get_logger()


INLINE = frozenset({CHAT, COMPLETIONS})
"""Paths whose requests run as inline tasks: what answers them knows that."""
BODY_PATIENCE_SECONDS = 0.05
"""Many clients send head and body apart: a request begins with its body, unless that is longer in coming."""
_HEAD, _LENGTH, _END = b"HTTP/1.1 ", b"\r\ncontent-length: ", b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade(?=:)", re.IGNORECASE)


class JoiningTransport:
    """A transport that holds a head which tells the length of its body until that comes: it is on its way. What is
    streamed tells none, and its head goes out at once."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write it, or hold it as a head."""
        if self._head:
            data, self._head = self._head + bytes(data), b""
        elif isinstance(data, bytes) and data.startswith(_HEAD) and _LENGTH in data and data.endswith(_END):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that has no body after all."""
        if self._head and not self._transport.is_closing():
            self.write(b"")

    def close(self) -> None:
        """Nothing more comes."""
        self.flush()
        self._transport.close()


class Http11Protocol(HttpToolsProtocol):
    """Answers in HTTP/1.1 whatever else is offered, head and body together where both are there, and begins requests
    for completions when they have been read, body and all."""

    _receiving = False
    _begins: tuple[InlineTask, Any] | None = None
    _body_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        super().connection_made(cast(asyncio.Transport, JoiningTransport(transport)))

    def on_response_complete(self) -> None:
        """Called after the last of a response."""
        cast(JoiningTransport, self.transport).flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with each piece of what the client sends."""
        if self.cycle is None or not self.cycle.more_body:  # a head begins, not the rest of a body
            end = data.find(b"\r\n\r\n")
            found = _UPGRADE.search(data, 0, end if end >= 0 else len(data))
            if found is not None:
                data = data[: found.start()] + b"\r\nx-offered-upgrade" + data[found.end() :]
        self._receiving = True
        try:
            super().data_received(data)
        finally:
            self._receiving = False
        if self._begins is None:
            return
        cycle = self._begins[1]
        if not cycle.more_body or cycle.waiting_for_100_continue or self.flow.read_paused:
            self._begin()
        elif self._body_late is None:
            self._body_late = self.loop.call_later(BODY_PATIENCE_SECONDS, self._begin)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        super().connection_lost(exc)
        self._begin()  # it learns at once that nobody is there

    def _begin(self) -> None:
        begins, self._begins = self._begins, None
        if self._body_late is not None:
            self._body_late.cancel()
            self._body_late = None
        if begins is not None:
            begins[0].start()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Called by uvicorn when the head of a request has come and the one before it has been answered."""
        # What waited behind another begins when that is answered, inside its task: in a task of its own, or a client
        # that sends many at once would have them all on one stack.
        if not self._receiving or cycle.scope["path"] not in INLINE:
            super()._start_asgi_task(cycle, app)
            return
        context = contextvars.Context() if getattr(self.config, "reset_contextvars", False) else None
        task = InlineTask(cycle.run_asgi(app), self.loop, context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)  # type: ignore[arg-type]  # it asks for `add_done_callback` and `cancel`
        self._begins = task, cycle


class Connection(Protocol):
    """What is used of uvicorn's HTTP protocols. `cycle`: the newest request whose head has come, with its response.
    `timeout_keep_alive_task` is there from an answer to the first byte after it: uvicorn itself will close it then."""

    cycle: Any
    timeout_keep_alive_task: Any
    transport: Any


class Loiterers:
    """Who has been between two requests, but not at rest, since when. Belongs to the server's loop."""

    def __init__(self, most_seconds: float) -> None:
        """A connection may stay without the whole head of a request for `most_seconds`, counted from when it is first
        seen so."""
        self._most_seconds = most_seconds
        self._since: dict[Connection, tuple[Any, float]] = {}

    def sweep(self, connections: Iterable[Connection], now: float) -> int:
        """Close who has stayed too long; how many those are. `now`: seconds of a monotonic clock."""
        waiting: dict[Connection, tuple[Any, float]] = {}
        closed = 0
        for one in connections:
            cycle = one.cycle
            if cycle is not None and (not cycle.response_complete or one.timeout_keep_alive_task is not None):
                continue  # has asked for something, or rests
            before = self._since.get(one)
            since = before[1] if before is not None and before[0] is cycle else now
            if now - since > self._most_seconds:
                one.transport.abort()
                closed += 1
            else:
                waiting[one] = (cycle, since)
        self._since = waiting
        return closed


class SweepingServer(uvicorn.Server):
    """A uvicorn that closes, once a second, connections without the head of a request."""

    def __init__(self, config: uvicorn.Config, head_timeout_seconds: float) -> None:
        super().__init__(config)
        self._loiterers = Loiterers(head_timeout_seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn. Who cannot wait any longer cuts off what runs: of ordinary tasks the loop's runner would
        see to that, inline ones it does not know."""
        await super().shutdown(sockets)
        if self.force_exit:
            for task in list(self.server_state.tasks):
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # they are told in the next turn

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if counter % 10 == 0:
            closed = self._loiterers.sweep(list(self.server_state.connections), time.monotonic())  # type: ignore[arg-type]
            if closed:
                log.info("connections_without_a_request_closed", count=closed)
        return await super().on_tick(counter)
