"""Waiting for the answers of a plain request: until they are there, the client has gone, or time is over."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from infra.contracts import PlauditError
from infra.models.port import GenerationResult
from infra.runtime.inline import InlineFuture
from serving.exchange import Exchange
from serving.mailbox import Mailbox

PATIENCE_SECONDS = 0.1
"""Only an answer that takes longer is worth a task that looks whether the client still waits."""


class AnswerTimedOut(PlauditError):
    """No answer within `serving.request_timeout_seconds`."""

    code = "timeout"
    status = 504


class Waiting:
    """Waits for the futures of one exchange. Belongs to the event loop."""

    def __init__(self, mailbox: Mailbox, futures: Sequence["Future[GenerationResult]"], receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._futures = futures
        self._receive = receive
        self._left = len(futures)
        self._done = InlineFuture()
        self._watch: asyncio.Task[None] | None = None
        for future in futures:
            future.add_done_callback(lambda done: mailbox.post(self._landed, done))

    async def results(self, exchange: Exchange, timeout_seconds: float) -> list[GenerationResult]:
        """The results, in order. Raises what generation raised, AnswerTimedOut and ClientDisconnect; then the exchange
        is cancelled."""
        watching = self._loop.call_later(PATIENCE_SECONDS, self._begin_to_watch, timeout_seconds)
        try:
            await self._done
            return [future.result() for future in self._futures]
        except BaseException:
            exchange.cancel()
            raise
        finally:
            watching.cancel()
            if self._watch is not None:
                self._watch.cancel()
            self._watch, self._futures = None, ()  # both lead back here: what is left is freed without the collector

    def _landed(self, future: "Future[GenerationResult]") -> None:
        self._left -= 1
        if self._done.done():
            return
        error = future.exception()
        if error is not None:
            self._done.set_exception(error)
        elif not self._left:
            self._done.set_result(None)

    def _begin_to_watch(self, timeout_seconds: float) -> None:
        self._watch = self._loop.create_task(self._watched(timeout_seconds - PATIENCE_SECONDS))

    async def _watched(self, seconds: float) -> None:
        error: Exception = ClientDisconnect()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            error = AnswerTimedOut("no answer in time: try again, with a smaller max_tokens")
        except Exception as failure:  # whatever it was, the request must not hang
            error = failure
        if not self._done.done():
            self._done.set_exception(error)
