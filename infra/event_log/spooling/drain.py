"""Hands spooled records on to the log, oldest first, by the lot."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from infra.event_log.partitioning import InvalidRecord
from infra.event_log.port import Position, Record
from infra.event_log.spooling.claiming import adopt, left_behind
from infra.event_log.spooling.files import Frame, Kept, SpoolFile
from infra.metrics import catalogue

BATCH_RECORDS = 500
BATCH_BYTES = 8 * 1024 * 1024
GATHER_SECONDS = 0.1
"""What comes within this time goes on as one: an append costs the log nearly the same, whatever its size."""
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 5.0
_IDLE_SECONDS = 30.0

_log = structlog.get_logger(__name__)


@dataclass
class _Batch:
    """What is being handed on: `topics` are those of which the log has not everything yet."""

    file: SpoolFile
    frames: list[Frame]
    topics: dict[str, list[Kept]]


class Takes(Protocol):
    """What is asked of a log that is handed records."""

    def ensure_topic(self, topic: str) -> None: ...

    def partitions(self, topic: str) -> int: ...

    def append(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]": ...


class Drain:
    """A thread that empties spool files into `log`, and calls `handed_on` after each batch. The first file is the
    process's own and stays; adopted ones are deleted once they are empty. From time to time it looks in `folder` for
    what processes have left that died since."""

    def __init__(
        self,
        log: Takes,
        files: Sequence[SpoolFile],
        folder: Path,
        timeout_seconds: float,
        handed_on: Callable[[], None],
        refused: Callable[[str, int], None] = lambda topic, records: None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`refused` is called with a topic and the number of its records that were set aside, `failed` when the log
        does not take what it is given."""
        self._log = log
        self._folder = folder
        self._refused = refused
        self._failed = failed
        self._unreadable: set[str] = set()  # names of files that hold what this version cannot read: told once
        self._look_at = time.monotonic() + _IDLE_SECONDS
        self.waits = False  # for a log that does not take what it is given
        self._own = files[0]
        self._adopted = list(files[1:])
        self._timeout = timeout_seconds + 1
        self._handed_on = handed_on
        self._batch: _Batch | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._topics: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="event-log-drain", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """A process has died: what it left is to be adopted soon."""
        self._look_at = 0.0
        self.wake()

    def wake(self) -> None:
        """Something was spooled."""
        if not self._wake.is_set():
            self._wake.set()

    def waiting_bytes(self) -> int:
        """Bytes of values that wait in the files."""
        return self._own.waiting_bytes() + sum([file.waiting_bytes() for file in self._adopted])

    def finish(self, *, last_pass: bool) -> None:
        """End after the batch at hand, or with `last_pass` once nothing waits, the log refuses or time is up."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        if last_pass:
            try:
                self._adopt()
                self._drain_all(time.monotonic() + self._timeout)
            except Exception as error:  # it stays for the next process
                _log.warning("event_log_drain_ends", error=str(error))

    def close_files(self) -> None:
        """What waits stays in its file. An empty own file is deleted."""
        for file in self._adopted:
            file.close()
        self._own.close(delete=not self._own.waiting())

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._look()
                self._drain_all()
            except Exception as error:  # whatever it was, this thread must not end
                self._topics.clear()
                self.waits = True
                _log.warning("event_log_drain_waits", error=str(error), seconds=pause)
                self._failed()
                self._stopping.wait(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
                continue
            pause, self.waits = _FIRST_PAUSE_SECONDS, False
            self._wake.wait(_IDLE_SECONDS)
            self._stopping.wait(GATHER_SECONDS)
            self._wake.clear()

    def _look(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _IDLE_SECONDS
            self._adopt()

    def _adopt(self) -> None:
        self._adopted += adopt(self._folder, self._unreadable)

    def _drain_all(self, deadline: float | None = None) -> None:
        """What waits in each file when its turn comes, until this is to end; with a deadline whatever comes meanwhile,
        too. What comes later wakes this again: handed on at once, a steady stream would never be gathered."""

        def go_on() -> bool:
            return not self._stopping.is_set() if deadline is None else time.monotonic() < deadline

        for file in [*self._adopted, self._own]:
            left = file.waiting()
            while go_on() and (self._batch is not None or (file.waiting() and (left > 0 or deadline is not None))):
                batch = self._batch or _taken(file)
                self._hand_on(batch)
                left -= len(batch.frames) if batch.file is file else 0
            if file is not self._own and not file.waiting():
                self._adopted.remove(file)
                file.close(delete=True)
                if any(path.name.startswith(f"{file.name}-") for path in left_behind(self._folder)):
                    self._unreadable.add(file.name)

    def _hand_on(self, batch: _Batch) -> None:
        self._batch = batch  # tried again as it is: what the log has of it already is not sent twice
        for topic, kept in list(batch.topics.items()):
            self._ensure(topic)
            try:
                self._log.append(topic, [one.record() for one in kept]).result(self._timeout)
            except InvalidRecord:
                self._hand_on_singly(batch.file, topic, kept)
            del batch.topics[topic]
        self._batch = None
        batch.file.forget(batch.frames)
        self._handed_on()

    def _hand_on_singly(self, file: SpoolFile, topic: str, kept: Sequence[Kept]) -> None:
        """The log was made anew with fewer partitions, or takes only smaller records now: what it will not take is set
        aside, and nothing waits behind it."""
        refused: list[Kept] = []
        reason = ""
        partitions = self._log.partitions(topic)
        for one in kept:
            if one.partition >= partitions:
                one = msgspec.structs.replace(one, partition=one.partition % partitions)
            try:
                self._log.append(topic, [one.record()]).result(self._timeout)
            except InvalidRecord as error:
                refused.append(one)
                reason = error.message
        if refused:
            path = file.set_aside(refused)
            catalogue.EVENT_LOG_REFUSED_RECORDS.labels(topic).inc(len(refused))
            self._refused(topic, len(refused))
            _log.error("event_log_spool_refused", topic=topic, path=str(path), records=len(refused), reason=reason)

    def _ensure(self, topic: str) -> None:
        """A broker may have come back empty: without its topic nothing could be handed on."""
        if topic not in self._topics:
            self._log.ensure_topic(topic)
            self._topics.add(topic)


def _taken(file: SpoolFile) -> _Batch:
    taken = file.oldest(BATCH_RECORDS, BATCH_BYTES)
    topics: dict[str, list[Kept]] = defaultdict(list)
    for _, kept in taken:
        for one in kept:
            topics[one.topic].append(one)
    return _Batch(file, [frame for frame, _ in taken], topics)
