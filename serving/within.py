"""A time limit that costs nothing where there is nothing to wait for."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from infra.runtime.inline import Rest, as_task

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
        result = yield from _limited(seconds, Rest(work, awaited)).__await__()
    return result


async def _limited(seconds: float, rest: Rest) -> Any:
    await as_task()  # a timeout is of a task
    async with asyncio.timeout(seconds):
        return await rest
