"""The local engine: one worker thread that answers what waits, in batches of one adapter.

An adapter is a merged copy of the base (see `infra.models.merging`). A waiting request holds the model it will be
answered by, so unloading an adapter never fails a request that was accepted. What waits may be asked once more, as its
batch is made, who shall answer: an adapter that was rolled back meanwhile begins no answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from infra.contracts import BASE_ADAPTER, AdapterRef, Fingerprint, PlauditError
from infra.metrics import catalogue as metrics
from infra.models.fingerprint import measure
from infra.models.generate import check_lengths, generate
from infra.models.loading import LoadedModel
from infra.models.merging import merged_copy
from infra.models.port import GenerationRequest, GenerationResult

log = structlog.get_logger()


class EngineBusy(PlauditError):
    """More answers wait than the engine may queue."""

    code = "rate_limit_exceeded"
    status = 429


class EngineFailed(PlauditError):
    """The engine could not compute an answer, or is closed."""

    code = "engine_failed"
    status = 503


class AdapterNotLoaded(PlauditError):
    """No such adapter on this replica."""

    code = "model_not_found"
    status = 404


Again = Callable[[], AdapterRef]
"""Which adapter shall answer, asked when the answer is about to begin."""


class _Turn:
    """Requests that came together: all are answered by one adapter, which is final once one of them has begun."""

    __slots__ = ("again", "begun")

    def __init__(self, again: Again | None) -> None:
        self.again = again
        self.begun = False


class _Waiting(NamedTuple):
    request: GenerationRequest
    model: Any
    future: "Future[GenerationResult]"
    turn: _Turn


class LocalEngine:
    """A `GenerationEngine` on this machine. Safe to share between threads; close it at the end."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_batch_rows: int = 32,
        max_wait_seconds: float = 0.004,
        max_queue_rows: int = 256,
    ) -> None:
        self.base = loaded
        self._models: dict[str, Any] = {BASE_ADAPTER: loaded.model}
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._max_batch_rows = max_batch_rows
        self._max_wait_seconds = max_wait_seconds
        self._max_queue_rows = max_queue_rows
        self._closed = False
        self._worker = threading.Thread(target=self._run, name="engine", daemon=True)
        self._worker.start()

    def submit(
        self, requests: Sequence[GenerationRequest], again: Again | None = None
    ) -> "list[Future[GenerationResult]]":
        """Queue all or none. `again` may send all of them to another loaded adapter before the first one begins; it is
        called by the engine's thread under its lock and must be quick.

        Raises EngineBusy, AdapterNotLoaded, PromptTooLong, EngineFailed.
        """
        check_lengths(self.base, requests)
        with self._changed:
            if self._closed:
                raise EngineFailed("the engine is shutting down: try another replica")
            if len(self._waiting) + len(requests) > self._max_queue_rows:
                raise EngineBusy(
                    f"{len(self._waiting)} answers wait for the engine, at most {self._max_queue_rows} may: try again "
                    "in a moment"
                )
            turn = _Turn(again)
            items = [_Waiting(request, self._model(request.adapter), Future(), turn) for request in requests]
            self._waiting.extend(items)
            metrics.SERVING_QUEUE.set(len(self._waiting))
            self._changed.notify()
        return [item.future for item in items]

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Answer all, in order; waits."""
        return [future.result() for future in self.submit(requests)]

    def load_adapter(self, ref: str, path: str) -> None:
        """Merge the adapter in `path` and hold it under `ref`. Raises AdapterRefused when it does not fit the base."""
        model = merged_copy(self.base, Path(path))
        with self._changed:
            self._models[ref] = model

    def unload_adapter(self, ref: str) -> None:
        """Let go of an adapter; requests already accepted are still answered by it. The base stays."""
        with self._changed:
            if ref != BASE_ADAPTER:
                self._models.pop(ref, None)

    def loaded(self) -> frozenset[str]:
        with self._changed:
            return frozenset(self._models)

    def fingerprint(self, ref: str) -> Fingerprint:
        """Measured now, on the very weights that answer. Raises AdapterNotLoaded."""
        with self._changed:
            model = self._model(ref)
        return measure(self.base, model)

    def waiting(self) -> int:
        """Answers that wait now."""
        with self._changed:
            return len(self._waiting)

    def close(self) -> None:
        """Finish the batch in progress; what still waits fails with EngineFailed."""
        with self._changed:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
        for item in left:
            item.future.set_exception(EngineFailed("the engine was shut down before it came to this request"))
        self._worker.join()

    def _model(self, ref: str) -> Any:
        model = self._models.get(ref)
        if model is None:
            raise AdapterNotLoaded(f"adapter {ref!r} is not loaded here: see GET /v1/models", field="model")
        return model

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                return
            metrics.SERVING_BATCH_ROWS.observe(len(batch))
            try:
                results = generate(self.base, [item.request for item in batch], model=batch[0].model)
            except Exception as error:  # one bad batch must not end the engine
                log.exception("generation_failed", rows=len(batch))
                failure = EngineFailed(f"the answer could not be computed ({type(error).__name__}: {error})")
                for item in batch:
                    item.future.set_exception(failure)
                continue
            for item, result in zip(batch, results, strict=True):
                item.future.set_result(result)

    def _next_batch(self) -> list[_Waiting]:
        """The oldest request and others for the same model, in order; [] when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            deadline = time.monotonic() + self._max_wait_seconds
            while not self._closed and len(self._waiting) < self._max_batch_rows:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._closed:
                return []
            self._ask_again()
            model = self._waiting[0].model
            batch = [item for item in self._waiting if item.model is model][: self._max_batch_rows]
            for item in batch:
                item.turn.begun = True
            chosen = {id(item.future) for item in batch}
            self._waiting = deque(item for item in self._waiting if id(item.future) not in chosen)
            metrics.SERVING_QUEUE.set(len(self._waiting))
        return batch

    def _ask_again(self) -> None:
        """Send what waits, and has not begun, to the adapters that are to answer now."""
        chosen: dict[_Turn, Any] = {}
        for turn in {item.turn: None for item in self._waiting}:
            if turn.again is not None and not turn.begun:
                try:
                    chosen[turn] = self._models.get(turn.again())
                except Exception:  # who asks wrongly is answered as it was accepted
                    log.exception("not_asked_again")
        self._waiting = deque(item._replace(model=chosen.get(item.turn) or item.model) for item in self._waiting)
