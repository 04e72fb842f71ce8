"""Graceful shutdown: a signal sets the stop event; then closers run in reverse order, within a deadline."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

log = structlog.get_logger()

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_SIGNAL_SECONDS = 0.2
"""Supervisors such as timeout(1) signal the process and then its group: that is one request, not two."""


class Shutdown:
    """One a process. `stop` is set by the first SIGTERM or SIGINT, or by `request`; a second signal ends at once."""

    def __init__(self, deadline_seconds: float = 25.0) -> None:
        """`deadline_seconds` is for all closers together; keep it under the time the supervisor grants (30 s)."""
        self.stop = threading.Event()
        self._deadline_seconds = deadline_seconds
        self._closers: list[tuple[str, Callable[[], None]]] = []
        self._signalled_at = float("inf")

    def install(self) -> None:
        """Listen to the signals. Only the main thread may."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def add(self, name: str, closer: Callable[[], None]) -> None:
        """Register a closer; what is added last is closed first."""
        self._closers.append((name, closer))

    def request(self) -> None:
        """Ask for the shutdown from inside."""
        self.stop.set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the stop event; False after the timeout."""
        return self.stop.wait(timeout_seconds)

    def close(self) -> bool:
        """Run the closers in reverse order; True when all ended in time and without an error.

        One that fails or hangs does not keep the others from their turn.
        """
        self.stop.set()
        deadline = time.monotonic() + self._deadline_seconds
        clean = True
        while self._closers:
            name, closer = self._closers.pop()
            clean = _close_one(name, closer, deadline - time.monotonic()) and clean
        log.info("shutdown_finished", clean=clean)
        return clean

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if time.monotonic() - self._signalled_at > SAME_SIGNAL_SECONDS:
            os._exit(128 + number)
        self._signalled_at = min(self._signalled_at, time.monotonic())
        self.stop.set()


def _close_one(name: str, closer: Callable[[], None], seconds: float) -> bool:
    failure: list[BaseException] = []

    def attempt() -> None:
        try:
            closer()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=attempt, name=f"close-{name}", daemon=True)
    thread.start()
    # Whoever comes after one that hung still gets a moment.
    thread.join(max(seconds, 0.2))
    if thread.is_alive():
        log.error("closer_timed_out", closer=name)
        return False
    if failure:
        log.error("closer_failed", closer=name, error=str(failure[0]), error_type=type(failure[0]).__name__)
        return False
    return True
