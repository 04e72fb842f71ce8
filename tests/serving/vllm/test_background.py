"""The engine's event loop in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from serving.engine_errors import EngineFailed
from serving.vllm.background import Background


async def _nothing() -> None:
    pass


def test_what_is_begun_while_it_is_closed_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread may be held up just where it hands its work over. Left behind in a loop that has ended, the work would
    be destroyed some time later, in the middle of it."""
    background = Background("test")
    handing, hand_over = threading.Event(), asyncio.run_coroutine_threadsafe
    begun: list[Future[None]] = []

    def held_up(work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> "Future[Any]":
        if threading.current_thread() is thread:
            handing.set()
            time.sleep(0.2)
        return hand_over(work, loop)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", held_up)
    thread = threading.Thread(target=lambda: begun.append(background.spawn(asyncio.sleep(60))))
    thread.start()
    assert handing.wait(60)
    background.close(_nothing())
    thread.join()
    assert [one.cancelled() for one in begun] == [True]


def test_work_is_done_there() -> None:
    background = Background("test")

    async def name() -> str:
        return threading.current_thread().name

    assert background.run(name()) == "test"
    background.close(_nothing())
    with pytest.raises(EngineFailed, match="shut down"):
        background.run(name())


def test_who_waits_for_work_is_told_that_it_is_closed() -> None:
    background = Background("test")
    working = threading.Event()

    async def work() -> None:
        working.set()
        await asyncio.sleep(60)

    told: list[str] = []

    def wait() -> None:
        with pytest.raises(EngineFailed) as raised:
            background.run(work())
        told.append(str(raised.value))

    thread = threading.Thread(target=wait)
    thread.start()
    assert working.wait(60)
    background.close(_nothing())
    thread.join()
    assert told == ["the engine is shut down"]
