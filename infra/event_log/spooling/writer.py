"""Group flush: one thread makes many appends durable in the spool with one write and one flush."""

import threading
import time
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass, field
from queue import SimpleQueue

import structlog

from infra.event_log.deadlines import Acknowledgement, Deadlines, fail, resolve
from infra.event_log.port import EventLogUnavailable, Position
from infra.event_log.spooling.files import SpoolFile, content_of
from infra.metrics import catalogue

FLUSH_BYTES = 1024 * 1024
"""A flush takes waiting appends up to this size."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Keeping:
    """One append, waiting for its flush: `content` is its frame's, `size` the bytes of its values."""

    content: bytes
    size: int
    positions: list[Position]
    future: Acknowledgement = field(default_factory=Acknowledgement)


class FlushWriter:
    """The only thread that writes to `file`."""

    def __init__(self, file: SpoolFile, queue_limit_bytes: int, timeout_seconds: float) -> None:
        self._file = file
        self._limit = queue_limit_bytes
        self._timeout = timeout_seconds
        self._queue: deque[Keeping] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closing = False
        self._last_error: str | None = None
        self._writing_since: float | None = None
        self._deadlines = Deadlines(timeout_seconds)
        self._flush_seconds = catalogue.EVENT_LOG_APPEND_SECONDS.labels("spool")
        self._thread = threading.Thread(target=self._run, name="event-log-spool", daemon=True)
        self._thread.start()

    def submit(self, keeping: Keeping) -> None:
        """Queue it; its future fails at once when the queue is over its limit or this is closed."""
        with self._lock:
            if self._closing:
                reason = "the log is closed"
            elif self._queue and self._queued_bytes + keeping.size > self._limit:
                reason = f"{self._queued_bytes} bytes wait for the disk (event_log.queue_limit_bytes)"
            else:
                self._queue.append(keeping)
                self._queued_bytes += keeping.size
                self._wakes.put(None)
                self._deadlines.watch(keeping.future)
                return
        fail(keeping.future, EventLogUnavailable(f"{reason}: nothing was accepted, send it again later"))

    def problem(self) -> str | None:
        """Why nothing is written now, if that is so. Then the disk is asked again."""
        since = self._writing_since
        if since is not None and time.monotonic() - since > self._timeout:
            return f"a write to the spool has not ended for {self._timeout:g} s"
        if self._last_error is None:
            return None
        if not self._queue:
            self._probe()
        return f"the last write to the spool failed: {self._last_error}"

    def flushed(self) -> None:
        """Return when everything that was submitted is written or has failed."""
        wait([self._probe()])

    def tidy(self) -> None:
        """Nothing waits any more: what comes next may begin where the first did."""
        self._wakes.put(None)

    def close(self) -> None:
        """Keep what was queued, then stop."""
        with self._lock:
            self._closing = True
        self._wakes.put(None)
        self._thread.join()
        self._deadlines.stop()

    def _probe(self) -> Acknowledgement:
        """Ask the disk with a frame that holds nothing; after everything that was submitted before."""
        asked = Keeping(content_of("", (), ()), 0, [])
        self.submit(asked)
        return asked.future

    def _run(self) -> None:
        while True:
            self._wakes.get()
            if taken := self._take():
                self._keep([one for one in taken if not one.future.done()])
            elif self._closing:
                return
            else:
                self._file.tidy()

    def _take(self) -> list[Keeping]:
        taken: list[Keeping] = []
        size = 0
        with self._lock:
            while self._queue and size < FLUSH_BYTES:
                taken.append(self._queue.popleft())
                size += taken[-1].size
            self._queued_bytes -= size
            if self._queue:
                self._wakes.put(None)
        return taken

    def _keep(self, wanted: list[Keeping]) -> None:
        if not wanted:
            return  # all had waited too long
        started = time.perf_counter()
        self._writing_since = time.monotonic()
        try:
            self._file.write(
                [one.content for one in wanted], [len(one.positions) for one in wanted], [one.size for one in wanted]
            )
        except Exception as error:  # whatever it was, those who wait are told, and the next ones are tried
            self._last_error = f"{type(error).__name__}: {error}"
            for one in wanted:
                fail(one.future, EventLogUnavailable(f"the spool could not be written ({error}): send it again later"))
            _log.error("event_log_spool_failed", error=self._last_error, appends=len(wanted))
            return
        finally:
            self._writing_since = None
        self._last_error = None
        self._flush_seconds.observe(time.perf_counter() - started)
        for one in wanted:
            resolve(one.future, one.positions)
