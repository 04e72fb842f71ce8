"""Time is injected: windows are days in production and seconds in the demo profile, and tests move it by hand."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time in Unix seconds (UTC)."""

    def now(self) -> float: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until it is told to move; safe to share between threads."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> float:
        """Move forward by `seconds` (>= 0) and return the new time."""
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards: {seconds=}")
        with self._lock:
            self._now += seconds
            return self._now
