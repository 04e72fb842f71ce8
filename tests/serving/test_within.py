"""A time limit that is set only where there is something to wait for."""

import asyncio

import pytest

from serving.within import within


@pytest.fixture
def loop_timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instants of the timers that are set."""
    made: list[float] = []
    inner = asyncio.base_events.BaseEventLoop.call_at

    def call_at(self: asyncio.AbstractEventLoop, when: float, *rest: object, **more: object) -> asyncio.TimerHandle:
        made.append(when)
        return inner(self, when, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "call_at", call_at)
    return made


def test_what_need_not_wait_sets_no_timer(loop_timers: list[float]) -> None:
    async def ready() -> int:
        return 7

    async def main() -> int:
        return await within(5, ready())

    assert asyncio.run(main()) == 7
    assert loop_timers == []


def test_what_waits_several_times_gets_what_it_waits_for() -> None:
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def three() -> list[int]:
            return [await queue.get() for _ in range(3)]

        for delay in (1, 2, 3):
            asyncio.get_running_loop().call_later(delay / 100, queue.put_nowait, delay)
        return await within(5, three())

    assert asyncio.run(main()) == [1, 2, 3]


def test_an_error_of_the_work_passes_before_and_after_waiting() -> None:
    async def failing(pause: float | None) -> None:
        if pause is not None:
            await asyncio.sleep(pause)
        raise KeyError(pause)

    async def main(pause: float | None) -> None:
        await within(5, failing(pause))

    for pause in (None, 0.01):
        with pytest.raises(KeyError):
            asyncio.run(main(pause))


def test_what_takes_too_long_is_cancelled() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await within(0.01, slow())

    asyncio.run(main())
    assert ended == ["cancelled"]


def test_cancelling_who_waits_cancels_the_work() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(waiting())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def waiting() -> None:
        await within(5, slow())

    asyncio.run(main())
    assert ended == ["ended"]
