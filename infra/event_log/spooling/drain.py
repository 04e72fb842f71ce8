"""Hands spooled records on to the log, oldest first, until nothing waits."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog

from infra.contracts.errors import PlauditError
from infra.event_log.port import EventLog, Record
from infra.event_log.spooling.files import Spooled, SpoolFile

BATCH_RECORDS = 200
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 5.0
_IDLE_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class HandedOn(Protocol):
    """Told after each batch: so many bytes of that file no longer wait."""

    def __call__(self, path: Path, size: int, *, log_answers: bool) -> None: ...


class Drain:
    """A thread that empties spool files into `log`. The first file is the process's own and stays; adopted ones are
    deleted once they are empty."""

    def __init__(self, log: EventLog, files: Sequence[SpoolFile], timeout_seconds: float, handed_on: HandedOn) -> None:
        self._log = log
        self._own = files[0]
        self._adopted = list(files[1:])
        self._timeout = timeout_seconds + 1
        self._handed_on = handed_on
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._topics: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="event-log-drain", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something was spooled."""
        self._wake.set()

    def stop(self) -> None:
        """End after the batch at hand; what waits stays in its file. An empty own file is deleted."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        for file in self._adopted:
            file.close()
        self._own.close(delete=not self._own.waiting_bytes())

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._drain_all()
            except (PlauditError, OSError, TimeoutError) as error:
                self._topics.clear()
                _log.warning("event_log_drain_waits", error=str(error), seconds=pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()

    def _drain_all(self) -> None:
        for file in [*self._adopted, self._own]:
            while not self._stopping.is_set() and (batch := file.oldest(BATCH_RECORDS)):
                self._hand_on(file, batch)
            if file is not self._own and not self._stopping.is_set() and not file.waiting_bytes():
                self._adopted.remove(file)
                file.close(delete=True)

    def _hand_on(self, file: SpoolFile, batch: Sequence[Spooled]) -> None:
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for spooled in batch:
            by_topic[spooled.topic].append(spooled.record)
        for topic, records in by_topic.items():
            self._ensure(topic)
            self._log.append(topic, records).result(self._timeout)
        file.forget(batch[-1].offset + 1)
        size = sum(len(spooled.record.value) for spooled in batch)
        self._handed_on(file.path, size, log_answers=True)

    def _ensure(self, topic: str) -> None:
        """A broker may have come back empty: without its topic nothing could be handed on."""
        if topic not in self._topics:
            self._log.ensure_topic(topic)
            self._topics.add(topic)
