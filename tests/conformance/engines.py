"""What the conformance suite of engines needs to know about one, beyond the port."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.contracts import Fingerprint, Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel
from infra.models.merging import merged_copy
from infra.models.port import GenerationRequest
from serving.engines import Engine
from tests.models_fixtures import make_tiny_lora


@dataclass
class Bench:
    """An engine to test, beside the model with its weights as the oracle. `close` ends it, twice if asked."""

    kind: str
    engine: Engine
    loaded: LoadedModel
    folder: Path
    stored: dict[str, Fingerprint] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    closing: Callable[[], None] = lambda: None

    def adapter(self, ref: str, seed: int) -> str:
        """Train (at random) an adapter and load it."""
        folder = self.folder / ref.replace("@", "-")
        _, self.stored[ref] = make_tiny_lora(self.loaded, folder, seed=seed)
        self.models[ref] = merged_copy(self.loaded, folder)
        self.engine.load_adapter(ref, str(folder))
        return ref

    def model(self, ref: str) -> Any:
        return self.loaded.model if ref == "base" else self.models[ref]

    def request(self, adapter: str = "base", text: str = "What?", **more: Any) -> GenerationRequest:
        """Keyword arguments of SamplingParameters, or of GenerationRequest."""
        own = {name: more.pop(name) for name in ("on_token", "is_cancelled") if name in more}
        sampling = SamplingParameters(**{"seed": 0, "max_tokens": 8, **more})
        prompt = tuple(render_chat(self.loaded, [Message("user", text)]))
        return GenerationRequest(prompt, sampling, adapter, **own)
