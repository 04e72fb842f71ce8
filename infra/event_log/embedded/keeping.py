"""The embedded log with a spool: an answer waits for one write and one flush, and the log gets many answers at once.

A commit by SQLite costs several times what a flush of a file that does not grow does, and at half load nearly every
answer would have one of its own.
"""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from infra.contracts.clock import Clock
from infra.event_log.deadlines import Acknowledgement
from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.partitioning import place
from infra.event_log.port import Done, EventLogUnavailable, Record
from infra.event_log.spooling.claiming import left_behind
from infra.event_log.spooling.spool import Spool
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings

_log = structlog.get_logger(__name__)


class KeepingEventLog(SqliteEventLog):
    """See `port.KeepsLocally`. The spool is opened when it is first needed, or when something was left in it."""

    def __init__(
        self, path: Path, folder: Path, settings: EventLogSettings, clock: Clock, apart: Settings | None = None
    ) -> None:
        """`apart`: see `Spool`."""
        super().__init__(path, settings, clock)
        self._apart = apart
        self._folder = folder
        self._spool_lock = threading.Lock()
        self._spool: Spool | None = None
        if left_behind(folder):
            try:
                self._opened_spool()
            except EventLogUnavailable as error:  # reading needs none; who keeps is told by `keeping_problem`
                _log.error("event_log_spool_not_opened", error=error.message)

    def keep(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        """Durable in the spool at once, on the log within a fraction of a second. Raises and fails as `append` does,
        and raises EventLogUnavailable where the spool cannot be opened."""
        if self._closed:
            return self.append(topic, records)  # says so
        placed = place(records, self.partitions(topic), self._settings.max_record_bytes)
        return self._opened_spool().keep(topic, records, placed)

    def keep_from_loop(
        self, loop: asyncio.AbstractEventLoop, topic: str, records: Sequence[Record], done: Done
    ) -> bool:
        """See `port.KeepsFromLoop`. Raises as `keep` does."""
        if self._closed or self._spool is None:
            return False
        placed = place(records, self.partitions(topic), self._settings.max_record_bytes)
        return self._spool.keep_from_loop(loop, topic, records, placed, done)

    def tend(self) -> None:
        """See `port.KeepsFromLoop`. Raises EventLogUnavailable where the spool cannot be opened."""
        if not self._closed:
            self._opened_spool().tend()

    def leave(self) -> None:
        """See `port.KeepsFromLoop`."""
        if self._spool is not None:
            self._spool.leave()

    def keeping_problem(self) -> str | None:
        """None when `keep` takes records."""
        if self._closed:
            return "the event log is closed"
        try:
            return self._opened_spool().problem()
        except EventLogUnavailable as error:
            return error.message

    def spooled_bytes(self) -> int:
        """Bytes that wait in the spool."""
        return self._spool.waiting_bytes() if self._spool is not None else 0

    def close(self) -> None:
        spool = self._spool
        if spool is not None and not self._closed:
            spool.finish(last_pass=True)
        super().close()
        if spool is not None:
            spool.close()

    def _opened_spool(self) -> Spool:
        if self._spool is None:
            with self._spool_lock:
                if self._spool is None:
                    self._spool = Spool(self, self._folder, self._settings, self._writer.committed.notify, self._apart)
        return self._spool
