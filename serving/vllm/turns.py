"""Requests that came together: one adapter answers all of them, final with the first token of the first one.

All methods are called in the thread of the engine's loop.
"""

from collections.abc import Callable

import structlog

from infra.contracts import AdapterRef

log = structlog.get_logger()


class Moved(Exception):
    """Another adapter is to answer than the one that was asked."""


class Turn:
    """`again` None: each request keeps the adapter it names."""

    def __init__(self, again: Callable[[], AdapterRef] | None) -> None:
        self._again = again
        self._current: AdapterRef | None = None
        self._begun = False

    def adapter(self, asked: AdapterRef) -> AdapterRef:
        """Who answers a request that is about to be sent."""
        if self._again is None:
            return asked
        if not self._begun:
            try:
                self._current = self._again()
            except Exception:  # who asks wrongly is answered as it was accepted
                log.exception("not_asked_again")
                self._current = asked
        return self._current or asked

    def begin(self, ref: AdapterRef) -> None:
        """Tokens of `ref` have come. Raises Moved when, meanwhile, it was to be another one."""
        if self._again is None:
            return
        if ref != self._current:
            raise Moved
        self._begun = True


class Waiting:
    """Counts one waiting answer down, once."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun
        self.over = False

    def end(self) -> None:
        if not self.over:
            self.over = True
            self._begun()
