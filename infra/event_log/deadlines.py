"""Futures that cannot hang: each fails with EventLogUnavailable once it is older than one fixed timeout."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from infra.event_log.port import EventLogUnavailable, Position

Acknowledgement = Future[list[Position]]
"""Resolves once every record of one append is durable."""


def resolve(future: Acknowledgement, positions: list[Position]) -> None:
    """Acknowledge, unless the future was failed or cancelled before."""
    with suppress(InvalidStateError):  # then the caller was told "unavailable" already and retries with the same ids
        future.set_result(positions)


def fail(future: Acknowledgement, error: Exception) -> bool:
    """Fail the future; False if it was done before."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        return False
    return True


def failed(error: Exception) -> Acknowledgement:
    """A future that has failed already."""
    future = Acknowledgement()
    future.set_exception(error)
    return future


class Deadlines:
    """Watches futures in the order they were made. As the timeout is the same for all, that is deadline order."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._waiting: deque[tuple[float, Acknowledgement, Callable[[], None]]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-log-deadlines", daemon=True)
        self._thread.start()

    def watch(self, future: Acknowledgement, on_timeout: Callable[[], None] = lambda: None) -> None:
        """Fail `future` after the timeout, unless it is done by then, and call `on_timeout` if so."""
        self._waiting.append((time.monotonic() + self._timeout, future, on_timeout))

    def stop(self) -> None:
        """Stop the thread and fail what still waits."""
        self._stopping.set()
        self._thread.join()
        while self._waiting:
            self._expire(self._waiting.popleft()[1], "the log was closed")

    def _run(self) -> None:
        pause = min(0.25, self._timeout / 10)
        while not self._stopping.wait(pause):
            self._sweep(time.monotonic())

    def _sweep(self, now: float) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now):
            _, future, on_timeout = self._waiting.popleft()
            reason = f"no durable acknowledgement within {self._timeout:g} s (event_log.append_timeout_seconds)"
            if not future.done() and self._expire(future, reason):
                on_timeout()

    @staticmethod
    def _expire(future: Acknowledgement, reason: str) -> bool:
        return fail(future, EventLogUnavailable(f"{reason}: nothing is known to be accepted, send it again"))
