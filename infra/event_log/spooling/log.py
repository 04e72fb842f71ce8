"""The log behind a spool: while the log does not answer, appends become durable on local disk and are handed on later.

An append that the log refuses or leaves unanswered goes to this process's spool and is acknowledged from there, up to
`event_log.spool_limit_bytes`; then appends fail as without a spool.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path

import structlog

from infra.event_log.deadlines import Acknowledgement, fail, failed, resolve
from infra.event_log.partitioning import place
from infra.event_log.port import Consumer, Done, EventLog, EventLogUnavailable, Position, Record
from infra.event_log.spooling.spool import Spool
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings

_log = structlog.get_logger(__name__)


class SpoolingEventLog:
    """See `port.EventLog`. Reading is the inner log's affair."""

    def __init__(
        self, inner: EventLog, folder: Path, settings: EventLogSettings, apart: Settings | None = None
    ) -> None:
        """`apart`: see `Spool`."""
        self._inner = inner
        self._settings = settings
        self._partitions: dict[str, int] = {}
        self._down = threading.Event()
        self._closed = False
        self._spool = Spool(inner, folder, settings, self._answered, apart)

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
        if self._down.is_set():
            return self._kept(topic, records, placed)
        outer = Acknowledgement()
        try:
            future = self._inner.append(topic, records)
        except EventLogUnavailable as error:
            future = failed(error)

        def settled(done: "Future[list[Position]]") -> None:
            error = done.exception()
            if error is None:
                resolve(outer, done.result())
            elif isinstance(error, EventLogUnavailable):
                if not self._down.is_set():
                    self._down.set()
                    _log.warning("event_log_spooling", topic=topic, error=error.message)
                self._kept(topic, records, placed).add_done_callback(lambda kept: _pass_on(kept, outer))
            else:
                fail(outer, _as_exception(error))

        future.add_done_callback(settled)
        return outer

    def keep(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        """Make records durable here first, whether the log answers or not, and hand them on soon after.

        For who cannot wait for the log. Fails with EventLogUnavailable when the spool is full.
        """
        return self._kept(topic, records, place(records, self.partitions(topic), self._settings.max_record_bytes))

    def keep_from_loop(
        self, loop: asyncio.AbstractEventLoop, topic: str, records: Sequence[Record], done: Done
    ) -> bool:
        """See `port.KeepsFromLoop`."""
        if self._closed:
            return False
        placed = place(records, self.partitions(topic), self._settings.max_record_bytes)

        def kept(error: BaseException | None) -> None:
            if self._down.is_set():
                self._counted(topic, len(records), error)
            done(error)

        return self._spool.keep_from_loop(loop, topic, records, placed, kept)

    def tend(self) -> None:
        """See `port.KeepsFromLoop`."""
        self._spool.tend()

    def leave(self) -> None:
        """See `port.KeepsFromLoop`."""
        self._spool.leave()

    def consumer(self, topic: str, group: str) -> Consumer:
        return self._inner.consumer(topic, group)

    def healthy(self) -> str | None:
        """None also while the log is away, as long as the spool takes what comes."""
        problem = self._inner.healthy()
        if problem is None or self._closed:
            return problem
        worse = self._spool.problem()
        return f"{problem}; {worse}" if worse else None

    def keeping_problem(self) -> str | None:
        """None when `keep` takes records, whatever the log does."""
        return self._spool.problem()

    def spooled_bytes(self) -> int:
        """Bytes on local disk that wait for the log."""
        return self._spool.waiting_bytes()

    def close(self) -> None:
        """Flush the log; what it does not take stays in the spool for the next process."""
        if self._closed:
            return
        self._closed = True
        self._spool.finish(last_pass=not self._down.is_set())
        self._inner.close()
        self._spool.close()

    def _kept(self, topic: str, records: Sequence[Record], placed: Sequence[int]) -> Acknowledgement:
        kept = self._spool.keep(topic, records, placed)
        if self._down.is_set():
            kept.add_done_callback(lambda done: self._counted(topic, len(records), _error_of(done)))
        return kept

    def _counted(self, topic: str, records: int, error: BaseException | None) -> None:
        if error is None:
            catalogue.EVENT_LOG_SPOOLED_RECORDS.labels(topic).inc(records)
        elif not self._spool.waiting_bytes():
            self._down.clear()  # nothing is left that would show that the log answers again: the next append does

    def _answered(self) -> None:
        if self._down.is_set():
            self._down.clear()
            _log.info("event_log_answers_again", waiting_bytes=self._spool.waiting_bytes())


def _pass_on(done: "Future[list[Position]]", outer: Acknowledgement) -> None:
    error = done.exception()
    if error is None:
        resolve(outer, done.result())
    else:
        fail(outer, _as_exception(error))


def _error_of(done: "Future[list[Position]]") -> BaseException | None:
    return CancelledError() if done.cancelled() else done.exception()


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else EventLogUnavailable(str(error))
