"""Tasks of an event loop that go on inside the call that ends their wait, not in the loop's next turn.

A task of asyncio begins, and continues after each wait, in the next turn of the loop: behind whatever has come
meanwhile. Where requests have several short waits, each of those turns is a place in a queue (docs/decisions/0028). An
`InlineTask` begins at once, and continues at once when an `InlineFuture` it waits for is resolved; everything else it
waits for as any task does.

It is no task of asyncio's: what asks for the current one (`asyncio.timeout`, task groups, anyio) finds none in it, or
the one inside which its wait was ended. Code that may run in one and needs that says `await as_task()` first: the rest
then runs in an ordinary task.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final


class _Thread(threading.local):
    running: "InlineTask | None" = None


_thread = _Thread()


class InlineFuture:
    """Ends once, with nothing or with an error, for one who waits. Belongs to one event loop."""

    __slots__ = ("_done", "_error", "_resume")

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self._resume: Callable[[], None] | None = None

    def done(self) -> bool:
        return self._done

    def set_result(self, _result: None) -> None:
        """The wait is over. Raises asyncio.InvalidStateError when it was before."""
        self._end(None)

    def set_exception(self, error: BaseException) -> None:
        """The wait ends with an error. Raises asyncio.InvalidStateError when it was over before."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self._done:
            raise asyncio.InvalidStateError("it has ended already")
        self._done, self._error = True, error
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def _call_when_done(self, resume: Callable[[], None]) -> None:
        if self._resume is not None:
            raise RuntimeError("somebody waits for it already")
        self._resume = resume

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            if _thread.running is not None:
                yield self
            else:
                future = asyncio.get_running_loop().create_future()
                self._call_when_done(partial(_over, future))
                yield from future
        if self._error is not None:
            raise self._error


def _over(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class _AsTask:
    def __await__(self) -> Generator[Any, None, None]:
        if _thread.running is not None:
            yield self


_AS_TASK: Final = _AsTask()


def as_task() -> _AsTask:
    """To be awaited: what follows runs in a task of asyncio's, whatever it ran in before."""
    return _AS_TASK


class InlineTask:
    """Runs `coroutine` in a copy of the context, or in `context`. What it returns is dropped; an error that it raises
    goes to the loop's exception handler."""

    __slots__ = (
        "_callbacks",
        "_context",
        "_coroutine",
        "_done",
        "_loop",
        "_rest_begun",
        "_task",
        "_thrown",
        "_waits_for",
    )

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None = None,
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._context = context if context is not None else contextvars.copy_context()
        self._callbacks: list[Callable[[Any], object]] = []
        self._waits_for: Any = None
        self._task: asyncio.Task[object] | None = None
        self._thrown: BaseException | None = None
        self._rest_begun = False
        self._done = False

    def start(self) -> None:
        """Run it to its first wait. To be called once, on the loop's thread; never raises."""
        self._step()

    def done(self) -> bool:
        return self._done

    def add_done_callback(self, call: Callable[[Any], object]) -> None:
        """Have it called with this task at once when it ends."""
        self._callbacks.append(call)

    def cancel(self, msg: object = None) -> bool:
        """Have CancelledError raised where it waits, in the loop's next turn. False: it has ended."""
        waits_for, task = self._waits_for, self._task
        if self._done:
            return False
        if task is not None and self._rest_begun:
            return task.cancel(msg)
        if type(waits_for) is InlineFuture:
            # What it does then it would do now, inside this call: who cancels may be going through a set of tasks.
            self._loop.call_soon(self._cancel, waits_for, msg)
        elif waits_for is None or waits_for is _AS_TASK or not waits_for.cancel(msg):
            self._thrown = _cancelled(msg)  # it goes on by itself
        return True

    def _cancel(self, waited_for: InlineFuture, msg: object) -> None:
        if self._waits_for is waited_for and not waited_for.done():
            waited_for.set_exception(_cancelled(msg))
        else:
            self.cancel(msg)

    def _step(self, _ended: object = None) -> None:
        before, _thread.running = _thread.running, self
        try:
            while True:
                self._waits_for = None
                error, self._thrown = self._thrown, None
                if error is None:
                    awaited = self._context.run(self._coroutine.send, None)
                else:
                    awaited = self._context.run(self._coroutine.throw, error)
                try:
                    self._wait_for(awaited)
                    return
                except Exception as wrong:  # it is nothing that can be waited for: who waits is told
                    self._thrown = wrong
        except StopIteration:
            self._end(None)
        except BaseException as error:  # it must not reach whoever ended the wait
            self._end(error)
        finally:
            _thread.running = before

    def _wait_for(self, awaited: Any) -> None:
        if type(awaited) is InlineFuture:
            awaited._call_when_done(self._step)
        elif awaited is _AS_TASK:
            self._task = self._loop.create_task(self._rest(), context=self._context)
            self._task.add_done_callback(self._rest_ended)
        elif awaited is None:  # asyncio.sleep(0)
            self._loop.call_soon(self._step)
        else:
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._step)
        self._waits_for = awaited

    async def _rest(self) -> object:
        self._rest_begun = True
        return await Rest(self._coroutine, thrown=self._thrown)

    def _rest_ended(self, task: "asyncio.Task[object]") -> None:
        self._end(None if task.cancelled() else task.exception())

    def _end(self, error: BaseException | None) -> None:
        self._done, self._waits_for, self._task = True, None, None
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._tell(error)
        for call in self._callbacks:
            try:
                call(self)
            except Exception as wrong:
                self._tell(wrong)

    def _tell(self, error: BaseException) -> None:
        told = {"message": "an inline task failed", "exception": error, "task": self}
        self._loop.call_exception_handler(told)


def _cancelled(msg: object) -> asyncio.CancelledError:
    return asyncio.CancelledError(*([msg] if msg is not None else []))


_NOTHING: Final = object()


class Rest:
    """To be awaited: the rest of a coroutine that has begun; `awaited` is what it waits for, if it does, `thrown` what
    is raised where it stands."""

    def __init__(
        self, work: Coroutine[Any, Any, Any], awaited: Any = _NOTHING, thrown: BaseException | None = None
    ) -> None:
        self._work = work
        self._awaited = awaited
        self._thrown = thrown

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on: Callable[[Any], Any] = self._work.send if self._thrown is None else self._work.throw
        given: Any = self._thrown
        while True:
            if self._awaited is not _NOTHING:
                try:
                    given = yield self._awaited
                except BaseException as error:  # what is thrown at who waits is for the work: cancellation, above all
                    go_on, given = self._work.throw, error
                else:
                    go_on = self._work.send
            try:
                self._awaited = go_on(given)
            except StopIteration as end:
                return end.value
