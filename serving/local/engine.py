"""The local engine: one worker thread that computes a step after the other for all rows that run.

A request holds what will answer it, so unloading an adapter never fails one that was accepted. What waits may be asked
once more, as it begins, who shall answer: an adapter that was rolled back meanwhile begins no answer.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import structlog

from infra.contracts import BASE_ADAPTER, Fingerprint
from infra.metrics import catalogue as metrics
from infra.models.fingerprint import measure
from infra.models.generate import check_lengths
from infra.models.loading import LoadedModel
from infra.models.merging import merged_copy
from infra.models.port import GenerationRequest, GenerationResult
from infra.models.voices import SingleTokens, adapter_voice, base_voice, measure_voice
from infra.settings.serving import ServingSettings
from serving.engine_errors import AdapterNotLoaded, EngineBusy, EngineFailed
from serving.local.continuous import ContinuousBatch, Prompts
from serving.local.waiting import Again, FairQueue, Together, Waiting
from serving.local.whole import WholeBatch

log = structlog.get_logger()


class LocalEngine:
    """A `GenerationEngine` on this machine. Safe to share between threads; close it at the end."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_batch_rows: int = 32,
        max_queue_rows: int = 256,
        kv_memory_bytes: int = 1 << 30,
        prefix_bytes: int | None = None,
        prefill_tokens: int = 256,
    ) -> None:
        """`kv_memory_bytes`: keys and values of all rows and of conversations kept, of those at most `prefix_bytes`
        (half of it). `prefill_tokens`: tokens of prompts in one step at most."""
        self.base = loaded
        self._base_voice = base_voice(loaded)
        self._batch: ContinuousBatch | WholeBatch = (
            WholeBatch(loaded, max_rows=max_batch_rows)
            if self._base_voice is None
            else ContinuousBatch(
                loaded,
                self._base_voice,
                max_rows=max_batch_rows,
                kv_bytes=kv_memory_bytes,
                prefix_bytes=kv_memory_bytes // 2 if prefix_bytes is None else prefix_bytes,
                prefill_tokens=prefill_tokens,
            )
        )
        self._single_tokens = None if self._base_voice is None else SingleTokens(loaded, self._base_voice)
        self._voices: dict[str, Any] = {BASE_ADAPTER: self._base_voice or loaded.model}
        self._gone: list[Any] = []
        self._queue = FairQueue()
        metrics.SERVING_QUEUE.set(0)  # an autoscaler asks also before anybody else does
        self._changed = threading.Condition()
        self._max_queue_rows = max_queue_rows
        self._closed = self._abandoned = False
        self._worker = threading.Thread(target=self._run, name="engine", daemon=True)
        self._worker.start()

    @classmethod
    def from_settings(cls, loaded: LoadedModel, serving: ServingSettings) -> "LocalEngine":
        """The engine as the settings want it."""
        return cls(
            loaded,
            max_batch_rows=serving.max_batch_rows,
            max_queue_rows=serving.max_queue_rows,
            kv_memory_bytes=serving.kv_memory_mib << 20,
            prefill_tokens=serving.prefill_tokens,
        )

    def submit(
        self, requests: Sequence[GenerationRequest], again: Again | None = None
    ) -> "list[Future[GenerationResult]]":
        """Queue all or none. `again` may send all of them to another loaded adapter before the first one begins; it is
        called by the engine's thread under its lock and must be quick.

        Raises EngineBusy, AdapterNotLoaded, PromptTooLong, AnswerTooLarge, EngineFailed.
        """
        check_lengths(self.base, requests)
        for request in requests:
            self._batch.check(request)
        with self._changed:
            if self._closed:
                raise EngineFailed("the engine is shutting down: try another replica")
            if len(self._queue) + len(requests) > self._max_queue_rows:
                raise EngineBusy(
                    f"{len(self._queue)} answers wait for the engine, at most {self._max_queue_rows} may: try again "
                    "in a moment"
                )
            together = {request.adapter: Together(again, self._voice(request.adapter)) for request in requests}
            items = [Waiting(request, Future(), together[request.adapter]) for request in requests]
            self._queue.push(items)
            metrics.SERVING_QUEUE.set(len(self._queue))
            self._changed.notify()
        return [item.future for item in items]

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Answer all, in order; waits."""
        return [future.result() for future in self.submit(requests)]

    def load_adapter(self, ref: str, path: str) -> None:
        """Hold the adapter in `path` under `ref`. Raises AdapterRefused when it does not fit the base."""
        voice = (
            merged_copy(self.base, Path(path))
            if self._base_voice is None
            else adapter_voice(self.base, self._base_voice, Path(path))
        )
        with self._changed:
            self._let_go(ref)
            self._voices[ref] = voice

    def unload_adapter(self, ref: str) -> None:
        """Let go of an adapter; requests already accepted are still answered by it. The base stays."""
        with self._changed:
            if ref != BASE_ADAPTER:
                self._let_go(ref)

    def loaded(self) -> frozenset[str]:
        with self._changed:
            return frozenset(self._voices)

    def fingerprint(self, ref: str) -> Fingerprint:
        """Measured now, on the very weights and by the very steps that answer. Raises AdapterNotLoaded, and
        AdapterRefused for one that does not say the same as it draws."""
        with self._changed:
            voice = self._voice(ref)
        base = self._base_voice
        if base is None:
            return measure(self.base, voice)
        measured = measure_voice(self.base, base, voice)
        if voice is not base and self._single_tokens is not None:
            self._single_tokens.check(voice, measured)
        return measured

    def waiting(self) -> int:
        """Answers that wait now."""
        with self._changed:
            return len(self._queue)

    def prompts(self) -> Prompts:
        """Tokens of prompts computed and reused since the beginning."""
        return self._batch.prompts if isinstance(self._batch, ContinuousBatch) else Prompts(0, 0)

    def close(self, within_seconds: float | None = None) -> None:
        """Finish the answers that run; what still waits fails with EngineFailed, and so does what still runs after
        `within_seconds`."""
        with self._changed:
            self._closed = True
            left = self._queue.drain()
            self._changed.notify_all()
        for item in left:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(EngineFailed("the engine was shut down before it came to this request"))
        self._worker.join(within_seconds)
        self._abandoned = True
        self._worker.join()

    def _voice(self, ref: str) -> Any:
        voice = self._voices.get(ref)
        if voice is None:
            raise AdapterNotLoaded(f"adapter {ref!r} is not loaded here: see GET /v1/models", field="model")
        return voice

    def _let_go(self, ref: str) -> None:
        if ref in self._voices:
            self._gone.append(self._voices.pop(ref))
            self._changed.notify()

    def _run(self) -> None:
        batch = self._batch
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or batch.rows or len(self._queue) or self._gone)
                if self._closed and not batch.rows:
                    return
            self._forget()
            try:
                self._admit()
                if self._abandoned:
                    batch.fail(EngineFailed("the engine was shut down before the answer was complete"))
                else:
                    batch.step()
            except Exception as error:  # one bad step must not end the engine
                log.exception("generation_failed", rows=len(batch.rows))
                batch.fail(EngineFailed(f"the answer could not be computed ({type(error).__name__}: {error})"))

    def _forget(self) -> None:
        with self._changed:
            gone, self._gone = self._gone, []
        for voice in gone:
            self._batch.forget(voice)

    def _admit(self) -> None:
        """Let those begin whose turn it is and for whom there is room. Making room is done without the lock."""
        self._dismiss()
        while not self._batch.full() and (item := self._next()):
            if not self._admitted(item):
                with self._changed:
                    if not self._closed:
                        self._queue.back(item)
                        return
                item.future.set_exception(EngineFailed("the engine was shut down before it came to this request"))
                return
            item.together.begun = True
            with self._changed:
                metrics.SERVING_QUEUE.set(len(self._queue))

    def _admitted(self, item: Waiting) -> bool:
        try:
            return self._batch.admit(item)
        except Exception as error:
            item.future.set_exception(EngineFailed(f"the answer could not begin ({type(error).__name__}: {error})"))
            raise

    def _next(self) -> Waiting | None:
        with self._changed:
            item = self._queue.pop(Counter(row.request.flow for row in self._batch.rows))
            if item is not None and item.together.again is not None and not item.together.begun:
                try:
                    item.together.voice = self._voices.get(item.together.again()) or item.together.voice
                except Exception:  # who asks wrongly is answered as it was accepted
                    log.exception("not_asked_again")
            return item

    def _dismiss(self) -> None:
        """End those who wait and whose callers have left."""
        with self._changed:
            gone = self._queue.leave()
        for item in gone:
            if item.future.set_running_or_notify_cancel():
                item.future.set_result(GenerationResult((), (), (), "cancelled"))
