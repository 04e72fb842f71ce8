"""The spool: appends that are durable on this host's disk now, and on the log soon.

Both kinds of log have one. A record may reach the log twice, as after any retry: what it holds counts once by its ids.
Order is not kept, as nothing depends on it.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from infra.event_log.deadlines import Acknowledgement, failed
from infra.event_log.port import Done, EventLog, EventLogUnavailable, Position, Record
from infra.event_log.spooling.claiming import claim
from infra.event_log.spooling.drain import Drain
from infra.event_log.spooling.files import content_of
from infra.event_log.spooling.lane import Lane
from infra.event_log.spooling.writer import FlushWriter, Keeping
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings

SPOOLED = -1
"""Offset in the acknowledgement of a record that is durable in the spool: it has none in the log yet."""


class Spool:
    """Keeps records for `log` below `folder`, and adopts what dead processes left there. `answered` is called when the
    log has taken a batch. `apart`: settings for the process behind `keep_from_loop`; None: there is none. Raises
    EventLogUnavailable where the folder cannot be used."""

    def __init__(
        self,
        log: EventLog,
        folder: Path,
        settings: EventLogSettings,
        answered: Callable[[], None] = lambda: None,
        apart: Settings | None = None,
    ) -> None:
        self._settings = settings
        self._answered = answered
        try:
            files = claim(folder)
        except OSError as error:
            raise EventLogUnavailable(f"the spool {folder} cannot be opened: {error}; see to the folder") from error
        self._own = files[0]
        self._queued = 0
        self._lock = threading.Lock()
        self._closed = False
        self._writer: FlushWriter | None = None
        self._apart = apart
        self._lane: Lane | None = None
        self._drain = Drain(log, files, folder, settings.append_timeout_seconds, self._handed_on)
        self._show()

    def keep(self, topic: str, records: Sequence[Record], partitions: Sequence[int]) -> Acknowledgement:
        """Resolves once the records are durable here. Fails with EventLogUnavailable when the spool is full, the disk
        refuses, or nothing is heard of it for `event_log.append_timeout_seconds`."""
        if self._closed:
            return failed(EventLogUnavailable("the log is closed: nothing was accepted, send it again later"))
        size = sum([len(record.value) for record in records])
        waiting = self.waiting_bytes()
        if waiting + size > self._settings.spool_limit_bytes:
            return failed(
                EventLogUnavailable(
                    f"the log does not keep up and {waiting} bytes wait in the spool (event_log.spool_limit_bytes is "
                    f"{self._settings.spool_limit_bytes}): nothing was accepted, send it again later"
                )
            )
        positions = [Position(topic=topic, partition=partition, offset=SPOOLED) for partition in partitions]
        return self._submitted(Keeping(content_of(topic, records, partitions), size, positions))

    def keep_from_loop(
        self,
        loop: asyncio.AbstractEventLoop,
        topic: str,
        records: Sequence[Record],
        partitions: Sequence[int],
        done: Done,
    ) -> bool:
        """See `port.KeepsFromLoop`."""
        lane = self._lane
        if lane is None or self._closed or not lane.ready(loop):
            return False
        size = sum([len(record.value) for record in records])
        if self.waiting_bytes() + size > self._settings.spool_limit_bytes:
            return False
        return lane.take(content_of(topic, records, partitions), len(records), size, done)

    def tend(self) -> None:
        """See `port.KeepsFromLoop`."""
        if self._closed or self._apart is None:
            return
        if self._lane is None:
            self._lane = Lane(
                self._apart,
                self._keep_otherwise,
                filling=self._show,
                handed_on=self._handed_on_apart,
                lost=self._drain.look,
            )
        self._lane.tend()
        self._show()  # what waits there is told with each answer, and shown once a second

    def leave(self) -> None:
        """See `port.KeepsFromLoop`."""
        if self._lane is not None:
            self._lane.leave()

    def waiting_bytes(self) -> int:
        """Bytes that wait for the log here, on the disk or on their way to it."""
        apart = self._lane.waiting_bytes() if self._lane is not None else 0
        return self._queued + apart + self._drain.waiting_bytes()

    def problem(self) -> str | None:
        """Why nothing more goes in, if that is so. After a failure the disk is asked again."""
        waiting, limit = self.waiting_bytes(), self._settings.spool_limit_bytes
        if waiting >= limit:
            return f"the spool is full ({waiting} bytes wait, event_log.spool_limit_bytes is {limit})"
        return self._writer.problem() if self._writer is not None and not self._closed else None

    def finish(self, *, last_pass: bool) -> None:
        """Hand on no more, after a last try when the log answers. What fails to reach it is still kept."""
        if self._lane is not None:
            self._lane.close()
        if self._writer is not None and last_pass:
            self._writer.flushed()
        self._drain.finish(last_pass=last_pass)

    def close(self) -> None:
        """What waits stays for the next process."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        self._drain.close_files()

    def _submitted(self, keeping: Keeping) -> Acknowledgement:
        size = keeping.size  # not the append itself, which holds its future: nothing is to be left to the collector
        with self._lock:
            self._queued += size
        keeping.future.add_done_callback(lambda _: self._settled(size))
        self._started_writer().submit(keeping)
        return keeping.future

    def _keep_otherwise(
        self, loop: asyncio.AbstractEventLoop, content: bytes, records: int, size: int, done: Done
    ) -> None:
        """By the thread, what the process that writes has left."""

        def kept(future: Acknowledgement) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(done, future.exception())

        nowhere = [Position(topic="", partition=0, offset=SPOOLED)] * records
        self._submitted(Keeping(content, size, nowhere)).add_done_callback(kept)

    def _started_writer(self) -> FlushWriter:
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    settings = self._settings
                    self._writer = FlushWriter(self._own, settings.queue_limit_bytes, settings.append_timeout_seconds)
        return self._writer

    def _settled(self, size: int) -> None:
        """Written or failed: what was written counts in its file now. It may have been written after its time."""
        with self._lock:
            self._queued -= size
        self._drain.wake()
        self._show()

    def _handed_on(self) -> None:
        self._show()
        if self._writer is not None and not self._own.waiting():
            self._writer.tidy()
        self._answered()

    def _handed_on_apart(self) -> None:
        self._show()
        self._answered()

    def _show(self) -> None:
        catalogue.EVENT_LOG_SPOOL_BYTES.set(self.waiting_bytes())
