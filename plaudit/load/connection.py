"""Kept-alive HTTP/1.1 connections with as little between clock and socket as there can be.

The common clients take about a millisecond of computing a request: more than what is to be measured.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import httptools

_READ_BYTES = 65_536
_IDLE_SECONDS = 3.0
"""A connection that has been idle for longer is not used again: servers close theirs after five seconds or more."""

OnBody = Callable[[bytes, float], None]
"""(piece of the body, when it came)."""


class Broken(Exception):
    """The connection ended before the response did."""


class Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...
    def get_status_code(self) -> int: ...
    def should_keep_alive(self) -> bool: ...


@dataclass
class Head:
    """Status and headers (names in lower case) of a response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Connection:
    """One exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._idle_since = time.monotonic()
        self.reusable = True

    @property
    def fresh(self) -> bool:
        return self.reusable and not self._reader.at_eof() and time.monotonic() - self._idle_since < _IDLE_SECONDS

    async def exchange(self, request: bytes, on_body: OnBody) -> Head:
        """Send and read to the end of the response. Raises Broken."""
        self.reusable = False  # until the response is whole
        response = _Response(on_body)
        parser: Parser = httptools.HttpResponseParser(response)
        try:
            self._writer.write(request)
            await self._writer.drain()
            while not response.complete:
                data = await self._reader.read(_READ_BYTES)
                if not data:
                    raise Broken("closed by the server")
                response.now = time.perf_counter()
                parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            raise Broken(str(error) or type(error).__name__) from None
        response.head.status = parser.get_status_code()
        self.reusable = parser.should_keep_alive()
        self._idle_since = time.monotonic()
        return response.head

    def close(self) -> None:
        self._writer.close()


class Pool:
    """Connections to one server: as many as are asked for at once."""

    def __init__(self, host: str, port: int, tls: bool) -> None:
        self._host, self._port = host, port
        self._tls = ssl.create_default_context() if tls else None
        self._idle: list[Connection] = []
        self.opened = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One of the idle connections, or a new one. Raises Broken where none can be made."""
        found = await self._take()
        try:
            yield found
        finally:
            if found.reusable:
                self._idle.append(found)
            else:
                found.close()

    def close(self) -> None:
        for one in self._idle:
            one.close()
        self._idle.clear()

    async def _take(self) -> Connection:
        while self._idle:
            found = self._idle.pop()
            if found.fresh:
                return found
            found.close()
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as error:
            raise Broken(str(error)) from None
        self.opened += 1
        return Connection(reader, writer)


class _Response:
    """What httptools calls."""

    def __init__(self, on_body: OnBody) -> None:
        self._on_body = on_body
        self.head = Head()
        self.now = 0.0
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._on_body(body, self.now)

    def on_message_complete(self) -> None:
        self.complete = True
