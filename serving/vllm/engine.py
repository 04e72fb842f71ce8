"""The engine whose replicas are vLLM servers.

An answer goes to the replica with the fewest answers under way among those on which its adapter is proven. Until its
first token it may go to another one, or to another adapter if that is what `again` says by then; after it a failure is
the answer's end. Closing the connection is how an answer is cancelled.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import structlog

from infra.contracts import BASE_ADAPTER, AdapterRef, Fingerprint, PlauditError
from infra.metrics import catalogue as metrics
from infra.models.generate import check_lengths
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.settings.engines import VllmSettings
from serving.engine_errors import AdapterNotLoaded, EngineBusy, EngineFailed
from serving.vllm.background import Background
from serving.vllm.dispatching import Dispatcher
from serving.vllm.errors import SamplingUnsupported
from serving.vllm.replica import VllmReplica, numbered
from serving.vllm.turns import Turn, Waiting
from serving.vllm.wire import is_plain

log = structlog.get_logger()


class VllmEngine:
    """An `Engine` and a `Fleet`. `base` has no weights. Safe to share between threads; close it at the end."""

    def __init__(
        self,
        loaded: LoadedModel,
        settings: VllmSettings,
        *,
        adapters_folder: Path,
        reference: Fingerprint | None = None,
        max_queue_rows: int = 256,
    ) -> None:
        # One token less: the raw log-probabilities of an answer are asked for with the answer as prompt, and one more.
        self._whole = replace(loaded, model=None, context_length=loaded.context_length - 1)
        self.changed: Callable[[], None] = lambda: None
        self._settings = settings
        self._reference = reference
        self._adapters_folder = adapters_folder.absolute()
        self._max_queue_rows = max_queue_rows
        self._background = Background("vllm")
        self._lock = threading.Lock()
        self._waiting = 0
        metrics.SERVING_QUEUE.set(0)  # an autoscaler asks also before anybody else does
        self._closed = False
        self._replicas = self._background.run(self._made())
        self._dispatcher = Dispatcher(self._replicas, self._whole, settings)
        self._background.spawn(self._dispatcher.give_up())
        for each in self._replicas:
            self._background.spawn(each.watch())

    @property
    def base(self) -> LoadedModel:
        """The base, without weights, with the context that every server has."""
        limits = [each.max_model_len - 1 for each in self._replicas if each.max_model_len is not None]
        shortest = min([self._whole.context_length, *limits])
        return self._whole if shortest == self._whole.context_length else replace(self._whole, context_length=shortest)

    def replicas(self) -> list[VllmReplica]:
        return list(self._replicas)

    def base_reference(self) -> Fingerprint | None:
        return self._reference

    def base_allowance(self) -> float:
        return self._settings.max_offset_nats

    def reprove_every_seconds(self) -> float:
        return self._settings.reprove_every_seconds

    def submit(
        self, requests: Sequence[GenerationRequest], again: Callable[[], AdapterRef] | None = None
    ) -> "list[Future[GenerationResult]]":
        """See `Engine`; also raises SamplingUnsupported."""
        check_lengths(self.base, requests)
        for request in requests:
            self._check(request, moves=again is not None)
        with self._lock:
            if self._closed:
                raise EngineFailed("the engine is shutting down: try another replica")
            if self._waiting + len(requests) > self._max_queue_rows:
                raise EngineBusy(
                    f"{self._waiting} answers wait for the engine, at most {self._max_queue_rows} may: try again in a "
                    "moment"
                )
            self._waiting += len(requests)
            metrics.SERVING_QUEUE.set(self._waiting)
            turn, futures = Turn(again), [Future[GenerationResult]() for _ in requests]
            for request, future in zip(requests, futures, strict=True):
                future.set_running_or_notify_cancel()  # given up by `is_cancelled`, never by the future
                self._background.spawn(self._answer(request, turn, future))
        return futures

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Answer all, in order; waits."""
        return [future.result() for future in self.submit(requests)]

    def load_adapter(self, ref: AdapterRef, path: str) -> None:
        """On every replica that is well, and open for traffic: who calls this has proven it, or takes it on trust.
        The gateway does not; it keeps each replica by itself. Raises AdapterRefused, EngineFailed."""
        standing = [each for each in self._replicas if each.well()]
        if not standing:
            raise EngineFailed("no vLLM server answers: see plaudit_serving_replica_up")
        for each in standing:
            incarnation = each.incarnation
            each.load_adapter(ref, path)
            each.open(ref, incarnation)

    def unload_adapter(self, ref: AdapterRef) -> None:
        for each in self._replicas:
            if ref != BASE_ADAPTER:
                each.unload_adapter(ref)

    def loaded(self) -> frozenset[AdapterRef]:
        return frozenset().union(*(each.loaded() for each in self._replicas))

    def fingerprint(self, ref: AdapterRef) -> Fingerprint:
        """As the first replica that has it says. Raises AdapterNotLoaded, EngineFailed."""
        found = next((each for each in self._replicas if ref in each.loaded() and each.well()), None)
        if found is None:
            raise AdapterNotLoaded(f"adapter {ref!r} is not loaded on any vLLM server", field="model")
        return found.fingerprint(ref)

    def waiting(self) -> int:
        """Answers without a first token."""
        with self._lock:
            return self._waiting

    def close(self, within_seconds: float | None = None) -> None:
        """Finish the answers that run, within so many seconds (None: as long as their servers send tokens); what waits
        then fails with EngineFailed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._background.run(self._dispatcher.finished(within_seconds))
        self._background.close(self._end())

    async def _made(self) -> list[VllmReplica]:
        return [
            VllmReplica(name, url, self._settings, self._whole, self._background, self._seen_at, lambda: self.changed())
            for name, url in numbered(self._settings.urls)
        ]

    async def _end(self) -> None:
        await asyncio.gather(*(each.client.close() for each in self._replicas))

    def _seen_at(self, folder: Path) -> str:
        if not self._settings.adapters_seen_at:
            return str(folder.absolute())
        return str(Path(self._settings.adapters_seen_at) / folder.absolute().relative_to(self._adapters_folder))

    def _check(self, request: GenerationRequest, *, moves: bool) -> None:
        """Whether somebody can answer. Where another adapter may, nobody needs to: that is found out as it begins."""
        able = [each for each in self._replicas if request.adapter in each.opened()]
        if not able and not moves:
            raise AdapterNotLoaded(
                f"adapter {request.adapter!r} is not proven on any server: see GET /v1/models", field="model"
            )
        sampling = request.sampling
        if able and sampling.temperature > 0 and not is_plain(sampling) and all(each.mode == "raw" for each in able):
            raise SamplingUnsupported(
                "the vLLM servers report log-probabilities before temperature, top_p and top_k, so that only "
                "temperature 0, or 1 without truncation, can be learned from: start them with "
                "--logprobs-mode processed_logprobs",
                field="temperature",
            )

    async def _answer(self, request: GenerationRequest, turn: Turn, future: "Future[GenerationResult]") -> None:
        waiting = Waiting(self._begun)
        try:
            result = await self._dispatcher.answer(request, turn, waiting)
        except PlauditError as error:
            future.set_exception(error)
        except asyncio.CancelledError:
            future.set_exception(EngineFailed("the engine was shut down before this request was answered"))
            raise
        except Exception as error:
            log.exception("generation_failed")
            future.set_exception(EngineFailed(f"the answer could not be computed ({type(error).__name__}: {error})"))
        else:
            future.set_result(result)
        finally:
            waiting.end()

    def _begun(self) -> None:
        with self._lock:
            self._waiting -= 1
            metrics.SERVING_QUEUE.set(self._waiting)
