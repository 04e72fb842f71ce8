"""A time limit that costs nothing where there is nothing to wait for."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def within(seconds: float, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """What `work` returns. Raises TimeoutError, having cancelled it, when it takes longer.

    It is begun at once, and a timer is set only when it has to wait: most bodies are there before they are asked for.
    """
    result: T
    try:
        awaited = work.send(None)
    except StopIteration as end:
        result = end.value
    else:
        result = yield from _limited(seconds, _Begun(work, awaited)).__await__()
    return result


async def _limited(seconds: float, begun: "_Begun") -> Any:
    async with asyncio.timeout(seconds):
        return await begun


class _Begun:
    """The rest of a coroutine that waits for `awaited`."""

    def __init__(self, work: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on: Callable[[Any], Any]
        while True:
            try:
                sent = yield self._awaited
            except BaseException as error:  # what is thrown at who waits is for the work: cancellation, above all
                go_on, sent = self._work.throw, error
            else:
                go_on = self._work.send
            try:
                self._awaited = go_on(sent)
            except StopIteration as end:
                return end.value
