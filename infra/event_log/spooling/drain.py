"""Hands spooled records on to the log, oldest first, until nothing waits."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import structlog

from infra.contracts.errors import PlauditError
from infra.event_log.port import EventLog, Record
from infra.event_log.spooling.files import Frame, Kept, SpoolFile

BATCH_RECORDS = 200
GATHER_SECONDS = 0.1
"""What comes within this time goes on as one: an append costs the log nearly the same, whatever its size."""
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 5.0
_IDLE_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class Drain:
    """A thread that empties spool files into `log`, and tells `handed_on` the bytes of each batch. The first file is
    the process's own and stays; adopted ones are deleted once they are empty."""

    def __init__(
        self, log: EventLog, files: Sequence[SpoolFile], timeout_seconds: float, handed_on: Callable[[int], None]
    ) -> None:
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
        if not self._wake.is_set():
            self._wake.set()

    def finish(self, *, last_pass: bool) -> None:
        """End after the batch at hand, or with `last_pass` once nothing waits, the log refuses or time is up."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        if last_pass:
            try:
                self._drain_all(time.monotonic() + self._timeout)
            except (PlauditError, OSError, TimeoutError) as error:
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
                self._drain_all()
            except (PlauditError, OSError, TimeoutError) as error:
                self._topics.clear()
                _log.warning("event_log_drain_waits", error=str(error), seconds=pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            self._wake.wait(_IDLE_SECONDS)
            self._stopping.wait(GATHER_SECONDS)
            self._wake.clear()

    def _drain_all(self, deadline: float | None = None) -> None:
        """Until nothing waits; without a deadline until this is to end, too."""

        def go_on() -> bool:
            return not self._stopping.is_set() if deadline is None else time.monotonic() < deadline

        for file in [*self._adopted, self._own]:
            while go_on() and (batch := file.oldest(BATCH_RECORDS)):
                self._hand_on(file, batch)
            if file is not self._own and not file.waiting():
                self._adopted.remove(file)
                file.close(delete=True)

    def _hand_on(self, file: SpoolFile, batch: Sequence[tuple[Frame, Sequence[Kept]]]) -> None:
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for _, kept in batch:
            for one in kept:
                by_topic[one.topic].append(one.record())
        for topic, records in by_topic.items():
            self._ensure(topic)
            self._log.append(topic, records).result(self._timeout)
        file.forget(len(batch))
        self._handed_on(sum(frame.size for frame, _ in batch))

    def _ensure(self, topic: str) -> None:
        """A broker may have come back empty: without its topic nothing could be handed on."""
        if topic not in self._topics:
            self._log.ensure_topic(topic)
            self._topics.add(topic)
