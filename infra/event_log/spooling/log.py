"""The log behind a spool: while the log does not answer, appends become durable on local disk and are handed on later.

An append that the log refuses or leaves unanswered goes to this process's spool file (synchronous=FULL) and is
acknowledged from there, up to `event_log.spool_limit_bytes`; then appends fail as without a spool. A record may reach
the log twice, as after any retry: what it holds counts once by its ids. Order is not kept, as nothing depends on it.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import structlog

from infra.contracts.clock import Clock
from infra.contracts.errors import PlauditError
from infra.event_log.deadlines import Acknowledgement, fail, failed, resolve
from infra.event_log.partitioning import place
from infra.event_log.port import Consumer, EventLog, EventLogUnavailable, Position, Record
from infra.event_log.spooling.drain import Drain
from infra.event_log.spooling.files import claim
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings

SPOOLED = -1
"""Offset in the acknowledgement of a record that is durable in the spool: it has none in the log yet."""

_log = structlog.get_logger(__name__)


class SpoolingEventLog:
    """See `port.EventLog`. Reading is the inner log's affair."""

    def __init__(self, inner: EventLog, folder: Path, settings: EventLogSettings, clock: Clock) -> None:
        self._inner = inner
        self._settings = settings
        self._partitions: dict[str, int] = {}
        files = claim(folder, settings, clock)
        self._own = files[0]
        self._waiting = {file.path: file.waiting_bytes() for file in files}
        self._lock = threading.Lock()
        self._down = threading.Event()
        self._closed = False
        self._drain = Drain(inner, files, settings.append_timeout_seconds, self._handed_on)
        self._show()

    def ensure_topic(self, topic: str) -> None:
        self._inner.ensure_topic(topic)
        self.partitions(topic)  # known from now on, also while the log is away

    def topic_identity(self, topic: str) -> str:
        return self._inner.topic_identity(topic)

    def partitions(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = self._inner.partitions(topic)
        return self._partitions[topic]

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        placed = place(records, self.partitions(topic), self._settings.max_record_bytes)
        outer = Acknowledgement()
        if self._down.is_set():
            self._spool(topic, records, placed, outer)
            return outer

        def refused() -> None:
            if not self._down.is_set():
                self._down.set()
                _log.warning("event_log_spooling", topic=topic, path=str(self._own.path))
            self._spool(topic, records, placed, outer)

        try:
            future = self._inner.append(topic, records)
        except EventLogUnavailable as error:
            future = failed(error)

        def settled(done: "Future[list[Position]]") -> None:
            error = done.exception()
            if error is None:
                resolve(outer, done.result())
            elif isinstance(error, EventLogUnavailable):
                refused()
            else:
                fail(outer, _as_exception(error))

        future.add_done_callback(settled)
        return outer

    def keep(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        """Make records durable here first, whether the log answers or not, and hand them on soon after.

        For who cannot wait for the log. Fails with EventLogUnavailable when the spool is full.
        """
        placed = place(records, self.partitions(topic), self._settings.max_record_bytes)
        outer = Acknowledgement()
        self._spool(topic, records, placed, outer)
        return outer

    def consumer(self, topic: str, group: str) -> Consumer:
        return self._inner.consumer(topic, group)

    def healthy(self) -> str | None:
        """None also while the log is away, as long as the spool takes what comes."""
        problem = self._inner.healthy()
        if problem is None or self._closed:
            return problem
        waiting = self.spooled_bytes()
        if waiting < self._settings.spool_limit_bytes:
            return None
        return f"{problem}; the spool is full ({waiting} bytes wait, event_log.spool_limit_bytes)"

    def spooled_bytes(self) -> int:
        """Bytes on local disk that wait for the log."""
        with self._lock:
            return sum(self._waiting.values())

    def close(self) -> None:
        """Flush the log; what it does not take stays in the spool for the next process."""
        if self._closed:
            return
        self._closed = True
        self._inner.close()
        self._drain.stop()

    def _spool(self, topic: str, records: Sequence[Record], placed: Sequence[int], outer: Acknowledgement) -> None:
        size = sum(len(record.value) for record in records)
        with self._lock:
            waiting = sum(self._waiting.values())
            full = waiting + size > self._settings.spool_limit_bytes
            if not full:
                self._waiting[self._own.path] += size
        if full:
            fail(
                outer,
                EventLogUnavailable(
                    f"the log does not keep up and {waiting} bytes wait in the spool (event_log.spool_limit_bytes is "
                    f"{self._settings.spool_limit_bytes}): nothing was accepted, send it again later"
                ),
            )
            return

        def kept(done: "Future[list[Position]]") -> None:
            error = done.exception()
            if error is not None:
                self._handed_on(self._own.path, size, log_answers=False)
                fail(outer, _as_exception(error))
                return
            if self._down.is_set():
                catalogue.EVENT_LOG_SPOOLED_RECORDS.labels(topic).inc(len(records))
            self._show()
            self._drain.wake()
            resolve(outer, [Position(topic=topic, partition=partition, offset=SPOOLED) for partition in placed])

        try:
            self._own.append(topic, records, placed).add_done_callback(kept)
        except PlauditError as error:
            self._handed_on(self._own.path, size, log_answers=False)
            fail(outer, error)

    def _handed_on(self, path: Path, size: int, *, log_answers: bool) -> None:
        with self._lock:
            self._waiting[path] = max(0, self._waiting[path] - size)
        if log_answers and self._down.is_set():
            self._down.clear()
            _log.info("event_log_answers_again", waiting_bytes=self.spooled_bytes())
        self._show()

    def _show(self) -> None:
        catalogue.EVENT_LOG_SPOOL_BYTES.set(self.spooled_bytes())


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else EventLogUnavailable(str(error))
