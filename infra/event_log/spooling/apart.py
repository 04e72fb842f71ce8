"""The other end of `lane`: a spool in a process of its own, which writes, flushes and hands on to the log.

It works for one gateway and ends with the socket to it, after a last try to hand on. At the first error of the disk it
ends too: the gateway keeps by other means what has no answer, and tells the operator. Files that it leaves belong to
whoever starts next.
"""

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

from infra.event_log.deadlines import Acknowledgement, resolve
from infra.event_log.observing import error_code
from infra.event_log.port import EventLog, Position, Record
from infra.event_log.spooling.claiming import claim
from infra.event_log.spooling.drain import Drain
from infra.event_log.spooling.lane_wire import ANSWER, Handed, Report, appends_in, encode_report
from infra.settings.infrastructure import EventLogSettings

_RECEIVE_BYTES = 1 << 20


class Apart:
    """Opens what `folder` needs. `opened` gives the log, once something is to be handed on. Raises OSError."""

    def __init__(
        self, connection: socket.socket, folder: Path, opened: Callable[[], EventLog], settings: EventLogSettings
    ) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._log = _Watched(opened)
        files = claim(folder)
        self._file = files[0]
        with self._sending:  # it may have something to report before it has a name here
            self._drain = Drain(
                self._log,
                files,
                folder,
                settings.append_timeout_seconds,
                self._report,
                refused=self._log.refused,
                failed=self._report,
            )

    def serve(self) -> None:
        """Until the gateway is gone. Raises OSError."""
        self._answer(0)  # how much waits here already
        received = bytearray()
        # A thread that waits in `recv` is woken, for nothing, each time the gateway has read an answer, and waking
        # one on another core costs the gateway more than sending does. Who polls for something to read is not.
        readable = select.poll()
        readable.register(self._connection, select.POLLIN)
        while readable.poll() and (data := self._connection.recv(_RECEIVE_BYTES)):
            received += data
            appends = appends_in(received)
            if not appends:
                continue
            if not self._file.waiting():
                self._file.tidy()
            contents, records, sizes = zip(*appends, strict=True)
            self._file.write(contents, records, sizes)
            self._answer(len(appends))
            self._drain.wake()

    def close(self) -> None:
        """Let the gateway know at once that there will be no more answers, and hand on what the log takes; the rest
        stays for the next process."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._drain.finish(last_pass=not self._drain.waits)
        self._log.close()
        self._drain.close_files()

    def _report(self) -> None:
        with suppress(OSError):  # the gateway is gone
            self._answer(0, encode_report(self._log.report()))

    def _answer(self, durable: int, report: bytes = b"") -> None:
        with self._sending:
            self._connection.sendall(ANSWER.pack(len(report), durable, self._drain.waiting_bytes()) + report)


class _Watched:
    """A `drain.Takes` that opens the log when it is first asked, and remembers what is to be reported."""

    def __init__(self, opened: Callable[[], EventLog]) -> None:
        self._open = opened
        self._log: EventLog | None = None
        self._lock = threading.Lock()
        self._appends: list[Handed] = []
        self._refused: Counter[str] = Counter()

    def ensure_topic(self, topic: str) -> None:
        self._opened().ensure_topic(topic)

    def partitions(self, topic: str) -> int:
        return self._opened().partitions(topic)

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        counted = Acknowledgement()  # done once the other has been remembered
        size = sum(len(record.key) + len(record.value) for record in records)
        ended = partial(self._ended, topic, len(records), size, time.perf_counter(), counted)
        self._opened().append(topic, records).add_done_callback(ended)
        return counted

    def refused(self, topic: str, records: int) -> None:
        with self._lock:
            self._refused[topic] += records

    def report(self) -> Report:
        """What there is to tell since the last one."""
        with self._lock:
            made = Report(self._appends, dict(self._refused))
            self._appends, self._refused = [], Counter()
        return made

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _opened(self) -> EventLog:
        if self._log is None:
            self._log = self._open()
        return self._log

    def _ended(
        self,
        topic: str,
        records: int,
        size: int,
        started: float,
        counted: Acknowledgement,
        done: "Future[list[Position]]",
    ) -> None:
        handed = Handed(topic, records, size, time.perf_counter() - started, error_code(done))
        with self._lock:
            self._appends.append(handed)
        error = done.exception()
        if error is None:
            resolve(counted, done.result())
        else:
            counted.set_exception(error)
