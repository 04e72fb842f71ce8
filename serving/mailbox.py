"""Calls from other threads into the event loop. Many share one wake-up: waking costs more than most calls."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger()


class Mailbox:
    """Belongs to one event loop; `post` may be called by any thread, and keeps the order of its caller."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have `call(*arguments)` made on the loop soon; never, if the loop has ended."""
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # before the first is taken: what is posted from now on wakes again, or is found here
        calls = self._calls
        while calls:
            call, arguments = calls.popleft()
            try:
                call(*arguments)
            except Exception:  # one failure must not swallow the letters of the others
                log.exception("mailbox_call_failed")
