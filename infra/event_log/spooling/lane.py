"""The spool for an event loop: another process keeps what the loop gives it, and no thread of this one takes part.

A flush by a thread of this process costs the loop several exchanges of the interpreter's lock, and handing on costs it
the thread's turns. Here the loop sends an append over a socket; `apart` writes, flushes, answers and hands on. Whatever
goes wrong with that process, what it has not answered is kept by other means, and it is started again. What it had kept
lies in the spool's folder, from where whoever starts next takes it.
"""

import asyncio
import logging
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

from infra.event_log.observing import count
from infra.event_log.port import Done, EventLogUnavailable
from infra.event_log.spooling.connection import Connection
from infra.event_log.spooling.lane_wire import APPEND, PREAMBLE, Report
from infra.metrics import catalogue
from infra.settings.root import Settings

Otherwise = Callable[[asyncio.AbstractEventLoop, bytes, int, int, Done], None]
"""(loop, content, records, size of their values, done): keeps it by other means and has `done` called on the loop."""
PROGRAM = "infra.runtime.spooler"
_PATIENCE_SECONDS = 2.0
"""For a write and a flush; then the process is ended, and threads do what it left."""
_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 60.0
_END_SECONDS = 2.0
"""Beyond what a last try to hand on takes."""

_log = structlog.get_logger(__name__)


class Sent(NamedTuple):
    """An append on its way to the disk."""

    content: bytes
    records: int
    size: int
    done: Done
    at: float


class Lane:
    """`ready`, `take` and whatever is called back belong to one event loop; `tend` and `close` to any thread, and may
    block."""

    def __init__(
        self,
        settings: Settings,
        otherwise: Otherwise,
        *,
        filling: Callable[[], None],
        handed_on: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        """`settings` are for the process. `filling` is called when something waits there and nothing did, `handed_on`
        when it has handed something on to the log; when it is gone, `otherwise` with each append that it left
        unanswered, and `lost`."""
        self._settings = settings
        self._limit = settings.event_log.queue_limit_bytes
        self._timeout = settings.event_log.append_timeout_seconds
        self._patience = min(_PATIENCE_SECONDS, self._timeout / 2)
        self._filling = filling
        self._handed_on = handed_on
        self._otherwise = otherwise
        self._on_loss = lost
        self._lock = threading.Lock()  # of `tend` and `close`
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._speaks = False  # it has said that it is there
        self._lost_at = 0.0
        self._sent: deque[Sent] = deque()
        self._under_way = 0
        self._waiting = 0
        self._pause = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._closing = False
        self._seconds = catalogue.EVENT_LOG_APPEND_SECONDS.labels("spool")

    def ready(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether there is a process that takes something. Sees to it that there soon is."""
        if self._closing:
            return False
        if self._connection is None and self._socket is not None:
            self._loop = loop
            self._connection = Connection(loop, self._socket, self._answered, self._lost)
            self._socket = None
        elif self._loop is not loop and self._loop is not None and self._loop.is_closed():
            self._forsake()
        return self._speaks and self._loop is loop

    def take(self, content: bytes, records: int, size: int, done: Done) -> bool:
        """Send an append of so many records with values of `size` bytes, when `ready`; `done` is called with None once
        it is durable, with an error when it cannot be. False: too much is under way, it was not taken."""
        assert self._connection is not None
        if self._sent and self._under_way + size > self._limit:
            return False
        self._sent.append(Sent(content, records, size, done, time.perf_counter()))
        self._under_way += size
        self._connection.send(APPEND.pack(len(content), records, size) + content)
        return True

    def waiting_bytes(self) -> int:
        """Bytes of values that were sent to the process and are not on the log, as far as it has told."""
        return self._under_way + self._waiting

    def tend(self) -> None:
        """Start the process where there is none, end it where it does not answer. To be called about once a second."""
        with self._lock:
            if self._closing:
                return
            process = self._process
            if process is not None:
                if self._stuck():
                    _log.error("event_log_spool_process_stuck", pid=process.pid, seconds=self._patience)
                    process.kill()
                    self._abort()
                elif self._lingers():
                    process.kill()
                if process.poll() is not None and self._connection is None:
                    self._forget(process)
            if self._process is None and time.monotonic() >= self._not_before:
                self._start()

    def leave(self) -> None:
        """The loop is about to end: nothing is taken any more."""
        self._closing = True
        if self._connection is not None:
            self._connection.close()

    def close(self) -> None:
        """End the process once it has kept what it was sent and, where the log answers, handed it on. Nobody waits for
        what it leaves unanswered."""
        with self._lock:
            self._closing = True
            process = self._process
            if process is None:
                return
            if self._connection is not None:
                self._connection.end()
            elif self._socket is not None:
                self._socket.close()
            try:
                process.wait(self._timeout + _END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, for a disk
                    process.wait(_END_SECONDS)
            self._forget(process)

    def _start(self) -> None:
        self._put_off()  # in case it ends at once
        known = pickle.dumps(self._settings)
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", PROGRAM]
                self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=_log_output())
            ours.sendall(PREAMBLE.pack(len(known)) + known)
        except OSError as error:
            _log.warning("event_log_spool_process_not_started", error=str(error))
            catalogue.EVENT_LOG_SPOOL_PROCESS_UP.set(0)
            return
        ours.setblocking(False)
        self._lost_at = time.monotonic()
        self._socket = ours
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended: the next one to keep something will hear the process
                self._loop.call_soon_threadsafe(self.ready, self._loop)  # to hear it though nothing is to be kept

    def _forget(self, process: "subprocess.Popen[bytes]") -> None:
        if not self._closing:
            _log.warning("event_log_spool_process_ended", pid=process.pid, status=process.returncode)
            catalogue.EVENT_LOG_SPOOL_PROCESS_UP.set(0)  # it may have ended without a word
        if self._socket is not None:
            self._socket.close()
        self._process = self._socket = None

    def _put_off(self) -> None:
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LAST_PAUSE_SECONDS)

    def _stuck(self) -> bool:
        try:
            return time.perf_counter() - self._sent[0].at > self._patience
        except IndexError:
            return False

    def _lingers(self) -> bool:
        """It was lost, and is still there after all the time that a last try to hand on may take."""
        lost = self._connection is None and self._socket is None
        return lost and time.monotonic() - self._lost_at > self._timeout + _END_SECONDS

    def _abort(self) -> None:
        loop, connection = self._loop, self._connection
        if loop is not None and connection is not None:
            try:
                loop.call_soon_threadsafe(connection.close)
            except RuntimeError:  # the loop has ended, and nobody waits
                self._forsake()

    def _forsake(self) -> None:
        """Its loop has ended without a word."""
        connection, self._connection = self._connection, None
        self._speaks = False
        self._sent.clear()
        self._under_way = 0
        if connection is not None:
            connection.end()

    def _answered(self, durable: int, waiting: int, report: Report | None) -> None:
        """The oldest `durable` appends are on the disk. The first answer is for none: the process is there."""
        filling = waiting and not self._waiting
        self._waiting = waiting
        if not self._speaks:
            self._speaks = True
            catalogue.EVENT_LOG_SPOOL_PROCESS_UP.set(1)
        if durable:
            self._pause = _FIRST_PAUSE_SECONDS
            done = [self._sent.popleft() for _ in range(durable)]
            self._under_way -= sum([one.size for one in done])
            self._seconds.observe(time.perf_counter() - done[0].at)
            for one in done:
                _call_back(one.done, None)
        if filling:
            self._filling()
        if report is not None:
            self._count(report)

    def _count(self, report: Report) -> None:
        for handed in report.appends:
            count(handed.topic, handed.records, handed.size, handed.seconds, handed.error)
        for topic, records in report.refused.items():
            catalogue.EVENT_LOG_REFUSED_RECORDS.labels(topic).inc(records)
        if any(handed.error is None for handed in report.appends):
            self._handed_on()

    def _lost(self) -> None:
        """The process is gone: what it has not answered is kept otherwise."""
        self._connection = None
        self._speaks = False
        self._lost_at = time.monotonic()
        left, self._sent = self._sent, deque()
        self._under_way = self._waiting = 0
        catalogue.EVENT_LOG_SPOOL_PROCESS_UP.set(0)
        if self._closing or self._loop is None:
            for one in left:
                _call_back(one.done, EventLogUnavailable("the log is closed: nothing is known to be accepted"))
            return
        catalogue.EVENT_LOG_SPOOL_PROCESS_LOST.inc()
        _log.error("event_log_spool_process_lost", appends=len(left))
        for one in left:
            self._otherwise(self._loop, one.content, one.records, one.size, one.done)
        self._on_loss()


def _call_back(done: Done, error: BaseException | None) -> None:
    try:
        done(error)
    except Exception:  # the others' letters must not be lost with it
        _log.exception("event_log_spool_call_failed")


def _log_output() -> int | None:
    """Where this process's log goes, for the other's; None: to its standard output."""
    for handler in logging.getLogger().handlers:
        with suppress(AttributeError, OSError, ValueError):
            return int(handler.stream.fileno())  # type: ignore[attr-defined]
    return None
