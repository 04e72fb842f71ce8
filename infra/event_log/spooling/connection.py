"""The loop's end of the socket to the process that keeps a spool."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

from infra.event_log.spooling.lane_wire import ANSWER, Report, answers_in

Answered = Callable[[int, int, Report | None], None]
Lost = Callable[[], None]
_RECEIVE_BYTES = 1 << 12

_log = structlog.get_logger(__name__)


class Connection:
    """Sends at once: a transport would at the end of the loop's turn. Belongs to the loop, but for `end`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ours: socket.socket, answered: Answered, lost: Lost) -> None:
        """`answered` is called with what the process says, `lost` once when it is gone."""
        self._loop = loop
        self._answered = answered
        self._lost = lost
        self._socket = ours
        self._unsent = bytearray()
        self._received = bytearray()
        self._open = True
        self._broken = False
        loop.add_reader(ours, self._readable)

    def send(self, message: bytes) -> None:
        """All of it, in order, now or as soon as the socket takes it."""
        if self._broken:
            return
        if self._unsent:
            self._unsent += message
            return
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._break()
            return
        if sent < len(message):
            self._unsent += memoryview(message)[sent:]
            self._loop.add_writer(self._socket, self._writable)

    def close(self) -> None:
        """Nothing more is sent, and nothing more is heard."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._lost()

    def end(self) -> None:
        """Nothing more is sent; for any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _break(self) -> None:
        """Something could not be sent, whatever the reason: what follows would be taken for it."""
        self._broken = True
        self._loop.call_soon(self.close)

    def _writable(self) -> None:
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
            self._break()
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            if len(data) == ANSWER.size and not self._received:  # nearly always: one answer without a report
                length, durable, waiting = ANSWER.unpack(data)
                if not length:
                    self._answered(durable, waiting, None)
                    return
            self._received += data
            for answer in answers_in(self._received):
                self._answered(*answer)
        except Exception:  # who knows what was answered then: all that waits is kept otherwise
            _log.exception("event_log_spool_answer_failed")
            self.close()
