"""Which engine answers: the one place that knows them by name; all else speaks to the port."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from infra.contracts import AdapterRef, Fingerprint
from infra.models.fetch import fetch_base
from infra.models.loading import LoadedModel, load_base, load_without_weights
from infra.models.port import GenerationEngine, GenerationRequest, GenerationResult
from infra.settings import Settings
from serving.engine import LocalEngine


class Engine(GenerationEngine, Protocol):
    """What the gateway asks of an engine beyond generation. Safe to share between threads; close it at the end."""

    @property
    def base(self) -> LoadedModel:
        """Tokenizer, hashes and lengths of the base model; its weights only where this process computes."""
        ...

    def submit(
        self, requests: Sequence[GenerationRequest], again: Callable[[], AdapterRef] | None = None
    ) -> "list[Future[GenerationResult]]":
        """Queue all or none; futures in the order of the requests.

        `again` says which loaded adapter shall answer all of them, asked before the first token of the first one; it
        must be quick. Raises EngineBusy, AdapterNotLoaded, PromptTooLong, EngineFailed.
        """
        ...

    def fingerprint(self, ref: AdapterRef) -> Fingerprint: ...

    def waiting(self) -> int:
        """Answers that have not begun."""
        ...

    def close(self) -> None: ...


def base_of(settings: Settings) -> LoadedModel:
    """The base model as the engine of these settings needs it: with weights where this process computes."""
    engine = settings.serving.engine
    if engine.kind == "local":
        return load_base(settings)
    return load_without_weights(fetch_base(settings))


def make_engine(loaded: LoadedModel, settings: Settings) -> Engine:
    """The engine that the settings ask for, on `loaded`. Close it at the end."""
    serving = settings.serving
    if serving.engine.kind == "vllm":
        from serving.vllm.engine import VllmEngine
        from serving.vllm.reference import base_reference

        reference = base_reference(loaded, settings) if serving.engine.vllm.prove_base else None
        return VllmEngine(
            loaded,
            serving.engine.vllm,
            adapters_folder=settings.data_dir / "adapters",
            reference=reference,
            max_queue_rows=serving.max_queue_rows,
        )
    return LocalEngine.from_settings(loaded, serving)
