"""Inline tasks do what tasks do, only sooner: they begin at once and go on inside the call that ends their wait."""

import asyncio
import contextvars
import gc
import itertools
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.inline import InlineFuture, InlineTask, Rest, as_task
from ingest.appending import settle

Main = Callable[[], Coroutine[Any, Any, Any]]


def started(coroutine: Coroutine[Any, Any, object]) -> InlineTask:
    task = InlineTask(coroutine, asyncio.get_running_loop())
    task.start()
    return task


async def ended(task: InlineTask) -> None:
    over = asyncio.get_running_loop().create_future()
    if not task.done():
        task.add_done_callback(lambda _: over.set_result(None))
        await asyncio.wait_for(over, 10)


async def nothing_more() -> None:
    """Some turns of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_it_begins_at_once_and_goes_on_inside_the_call_that_ends_its_wait() -> None:
    told: list[str] = []

    async def work(first: InlineFuture, second: InlineFuture) -> None:
        told.append("begun")
        await first
        told.append("first")
        await second
        told.append("second")

    async def main() -> None:
        first, second = InlineFuture(), InlineFuture()
        task = started(work(first, second))
        assert told == ["begun"]
        first.set_result(None)
        assert told == ["begun", "first"]
        task.add_done_callback(lambda _: told.append("over"))
        second.set_result(None)
        assert told == ["begun", "first", "second", "over"]
        assert task.done()

    asyncio.run(main())


def test_what_has_ended_is_not_waited_for_and_an_error_is_raised_where_it_waits() -> None:
    caught: list[str] = []

    async def work(future: InlineFuture) -> None:
        try:
            await future
        except KeyError as error:
            caught.append(str(error))

    async def main() -> None:
        early, late = InlineFuture(), InlineFuture()
        early.set_exception(KeyError("early"))
        assert started(work(early)).done()
        task = started(work(late))
        late.set_exception(KeyError("late"))
        assert task.done()
        with pytest.raises(asyncio.InvalidStateError):
            late.set_result(None)
        with pytest.raises(asyncio.InvalidStateError):
            late.set_exception(KeyError())

    asyncio.run(main())
    assert caught == ["'early'", "'late'"]


def test_an_ordinary_task_may_wait_for_an_inline_future_and_only_one_may() -> None:
    async def main() -> None:
        async def waits(future: InlineFuture) -> str:
            await future
            return "over"

        future, given_up = InlineFuture(), InlineFuture()
        task = asyncio.create_task(waits(future))
        abandoned = asyncio.create_task(waits(given_up))
        await nothing_more()
        with pytest.raises(RuntimeError, match="waits for it already"):
            await future
        abandoned.cancel()
        await nothing_more()
        given_up.set_result(None)
        future.set_result(None)
        assert not task.done(), "a task of asyncio's goes on in a later turn"
        assert await task == "over"
        assert abandoned.cancelled()

    asyncio.run(main())


def test_a_failure_does_not_reach_who_ended_the_wait() -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        async def fails(future: InlineFuture) -> None:
            await future
            raise ValueError("here")

        future = InlineFuture()
        over: list[InlineTask] = []
        task = started(fails(future))
        task.add_done_callback(over.append)
        future.set_result(None)
        assert over == [task]
        assert [repr(one["exception"]) for one in told] == ["ValueError('here')"]

    asyncio.run(main())


def test_the_rest_becomes_a_task_where_it_asks_for_one() -> None:
    async def main() -> list[object]:
        seen: list[object] = []

        async def work() -> None:
            seen.append(asyncio.current_task() is outer)
            await as_task()
            seen.append(asyncio.current_task() not in (outer, None))
            await as_task()  # it is one already
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(10)
            except TimeoutError:
                seen.append("timed out")

        outer = asyncio.current_task()
        task = started(work())
        assert seen == [True]
        await ended(task)
        await as_task()  # in a task of asyncio's: nothing
        return seen

    assert asyncio.run(main()) == [True, True, "timed out"]


def test_one_that_ends_anothers_wait_stays_inline_itself() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        future, after = InlineFuture(), InlineFuture()

        async def other() -> None:
            await future
            told.append("other")

        async def work() -> None:
            future.set_result(None)
            told.append("work")
            await after
            told.append("after")

        started(other())
        task = started(work())
        assert told == ["other", "work"]
        after.set_result(None)
        assert task.done()
        return told

    assert asyncio.run(main()) == ["other", "work", "after"]


def test_each_has_a_context_of_its_own() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")

    async def main() -> list[str]:
        seen: list[str] = []

        async def work(mine: str, future: InlineFuture, then_as_task: bool) -> None:
            name.set(mine)
            await future
            if then_as_task:
                await as_task()
            seen.append(name.get())

        futures = [InlineFuture() for _ in range(3)]
        tasks = [started(work(f"person {n}", future, n == 2)) for n, future in enumerate(futures)]
        assert name.get() == "nobody"
        for future in reversed(futures):
            future.set_result(None)
        for task in tasks:
            await ended(task)
        return seen

    assert asyncio.run(main()) == ["person 1", "person 0", "person 2"]


async def _inline_wait() -> None:
    await InlineFuture()


async def _future_wait() -> None:
    await asyncio.get_running_loop().create_future()


async def _task_wait() -> None:
    await as_task()
    await asyncio.sleep(100)


async def _turns() -> None:
    for _ in itertools.count():
        await asyncio.sleep(0)


@pytest.mark.parametrize("wait", [_inline_wait, _future_wait, _task_wait, _turns])
@pytest.mark.parametrize("turns_before", [0, 3])
def test_it_is_cancelled_where_it_waits_in_a_later_turn(wait: Main, turns_before: int) -> None:
    async def main() -> None:
        caught: list[tuple[object, ...]] = []

        async def work() -> None:
            try:
                await wait()
            except asyncio.CancelledError as error:
                caught.append(error.args)
                raise

        tasks: set[InlineTask] = set()
        for _ in range(3):
            task = started(work())
            task.add_done_callback(tasks.discard)
            tasks.add(task)
        for _ in range(turns_before):
            await asyncio.sleep(0)
        for task in tasks:  # as uvicorn does when it has waited long enough: none may leave the set meanwhile
            assert task.cancel("time is over")
        for task in list(tasks):
            await ended(task)
        assert not tasks
        assert len(caught) == 3
        assert set(caught) == {("time is over",)}
        assert not task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "expected"), [(InlineFuture, ["first", "cancelled"]), (asyncio.Future, ["cancelled"])]
)
def test_a_cancellation_that_comes_with_the_end_of_a_wait_is_not_lost(
    kind: Callable[[], Any], expected: list[str]
) -> None:
    """Where the wait has ended inline it is raised at the next; where its end is still to be told, as in a task, in its
    place."""

    async def main() -> list[str]:
        told: list[str] = []
        first, second = kind(), kind()

        async def work() -> None:
            try:
                await first
                told.append("first")
                await second
            except asyncio.CancelledError:
                told.append("cancelled")

        task = started(work())
        if kind is InlineFuture:
            task.cancel()  # comes in the next turn
            first.set_result(None)
        else:
            first.set_result(None)  # is told in the next turn
            task.cancel()
        await ended(task)
        return told

    assert asyncio.run(main()) == expected


def test_a_cancellation_before_the_rest_has_begun_reaches_the_coroutine() -> None:
    async def main() -> list[str]:
        told: list[str] = []

        async def work() -> None:
            try:
                await as_task()
            except asyncio.CancelledError as error:
                await asyncio.sleep(0)  # who cleans up may wait
                told.append(str(error))

        task = started(work())
        task.cancel("time is over")
        await ended(task)
        return told

    assert asyncio.run(main()) == ["time is over"]


def test_what_cannot_be_waited_for_is_told_to_who_waits_and_to_nobody_else() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        taken, first, second = InlineFuture(), InlineFuture(), InlineFuture()

        async def waits(future: InlineFuture, then: Any) -> None:
            await future
            try:
                await then
            except (RuntimeError, AttributeError) as error:
                told.append(type(error).__name__)

        class Wrong:
            def __await__(self) -> Any:
                yield "nothing that ends"

        started(waits(taken, InlineFuture()))
        tasks = [started(waits(first, taken)), started(waits(second, Wrong()))]
        tasks[0].add_done_callback(lambda _: 1 / 0)
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        settle([SimpleNamespace(done=first), SimpleNamespace(done=second)], None)
        assert all(task.done() for task in tasks)
        assert [type(one["exception"]) for one in failures] == [ZeroDivisionError]
        return told

    assert asyncio.run(main()) == ["RuntimeError", "AttributeError"]


def test_loops_of_two_threads_do_not_see_each_other() -> None:
    inside, leave = threading.Event(), threading.Event()

    async def work() -> None:
        inside.set()
        leave.wait(30)  # stands in the middle of a step

    async def stepping() -> None:
        started(work())

    async def ordinary() -> None:
        await as_task()
        future = InlineFuture()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        await future

    thread = threading.Thread(target=lambda: asyncio.run(stepping()))
    thread.start()
    try:
        assert inside.wait(30)
        asyncio.run(ordinary())
    finally:
        leave.set()
        thread.join(30)


def test_nothing_is_left_for_the_collector() -> None:
    class Held:
        pass

    async def main() -> bool:
        held = Held()
        seen = weakref.ref(held)
        future = InlineFuture()

        async def work(held: Held) -> None:
            await future
            await asyncio.sleep(0)
            assert held

        task = started(work(held))
        del held
        future.set_result(None)
        await ended(task)
        await nothing_more()
        return seen() is None

    gc.disable()
    try:
        assert asyncio.run(main())
    finally:
        gc.enable()


KINDS = ("inline", "future", "turn", "thread", "task", "error", "early")


async def _does(kinds: list[str]) -> list[object]:
    """Waits in each of these ways, one after the other; returns what came of it."""
    loop = asyncio.get_running_loop()
    seen: list[object] = []
    for place, kind in enumerate(kinds):
        waits_for: Awaitable[object]
        match kind:
            case "inline" | "error" | "early":
                inline = InlineFuture()
                end = partial(inline.set_exception, KeyError()) if kind == "error" else partial(inline.set_result, None)
                if kind == "early":
                    end()
                else:
                    loop.call_soon(end)
                waits_for = inline
            case "future":
                waits_for = loop.create_future()
                loop.call_soon(waits_for.set_result, place)
            case "turn":
                waits_for = asyncio.sleep(0)
            case "thread":
                waits_for = asyncio.to_thread(int, place)
            case _:
                waits_for = as_task()
        try:
            seen.append(await waits_for)
        except KeyError:
            seen.append("error")
    return seen


@given(st.lists(st.sampled_from(KINDS), max_size=8))
def test_it_does_what_a_task_does(kinds: list[str]) -> None:
    async def main() -> tuple[list[object], list[object]]:
        seen: list[list[object]] = []

        async def work() -> None:
            seen.append(await _does(kinds))

        await ended(started(work()))
        return seen[0], await asyncio.create_task(_does(kinds))

    inline, ordinary = asyncio.run(main())
    assert inline == ordinary


def test_the_rest_of_a_coroutine_can_be_waited_for_elsewhere() -> None:
    async def main() -> tuple[str, list[str]]:
        told: list[str] = []

        async def work(future: "asyncio.Future[str]") -> str:
            try:
                return await future
            finally:
                told.append("over")

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        begun = work(future)
        awaited = begun.send(None)
        waiting = asyncio.create_task(_of(Rest(begun, awaited)))
        given_up = work(asyncio.get_running_loop().create_future())
        other = asyncio.create_task(_of(Rest(given_up, given_up.send(None))))
        await nothing_more()
        other.cancel()
        await nothing_more()
        assert told == ["over"], "cancellation reaches the work"
        future.set_result("here")
        return await waiting, told

    assert asyncio.run(main()) == ("here", ["over", "over"])


async def _of(rest: Rest) -> Any:
    return await rest
