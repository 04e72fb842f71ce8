"""An event loop in a thread of its own: the engine's port is for threads, its work is asynchronous."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from serving.engine_errors import EngineFailed

T = TypeVar("T")
_ENDED = "the engine is shut down"


class Background:
    """Safe to share between threads. Close it at the end."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._closing = False
        self._lock = threading.Lock()  # what is begun before it is closed is there to be cancelled
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there and wait. Never from the loop's own thread. Raises EngineFailed once it is being closed."""
        try:
            return self.spawn(work).result()
        except CancelledError:
            if self._closing:
                raise EngineFailed(_ENDED) from None
            raise

    def spawn(self, work: "Coroutine[Any, Any, T]") -> "Future[T]":
        """Begin it there. Raises EngineFailed once it is being closed."""
        with self._lock:
            if not self._closing:
                return asyncio.run_coroutine_threadsafe(work, self.loop)
        work.close()
        raise EngineFailed(_ENDED)

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what still runs and wait for it, do `last`, end the thread."""
        with self._lock:
            self._closing = True
        for step in (_cancel_all(), last, _cancel_all(), _settle()):
            asyncio.run_coroutine_threadsafe(step, self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _settle() -> None:
    """Sockets are closed by callbacks of the loop: let them run."""
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.sleep(0.05)
