"""Settings of the engines behind the gateway."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from infra.settings.base import Section


class VllmSettings(Section):
    """vLLM servers that run the base model of `model.base`, each with `--enable-lora` and
    `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`, reachable by nobody but this gateway."""

    urls: tuple[str, ...] = ()
    """Addresses of the replicas without `/v1`, such as `http://vllm-0:8000`."""
    model: str = ""
    """Name by which the servers know the base model (`--served-model-name`); empty: the first they list."""
    api_key: SecretStr = SecretStr("")
    """Key sent to the servers (`--api-key`); empty: none."""
    adapters_seen_at: str = ""
    """Where the servers see the folder `data_dir/adapters`; empty: under the same path as this gateway."""
    prove_base: bool = True
    """Load the base model here once to learn what it says on the probes (kept in `data_dir`), and hold the servers to
    it; false: the servers' base is taken on trust and its proof says so."""
    max_offset_nats: float = Field(0.15, ge=0, le=1)
    """How far the servers' arithmetic may lie from that of training on the base model, nats a token on the probes."""
    connect_timeout_seconds: float = Field(3.0, gt=0)
    """A server that takes longer to accept a connection is given up for the moment."""
    token_timeout_seconds: float = Field(60.0, gt=0)
    """Longest wait for the first token, and between two tokens."""
    load_timeout_seconds: float = Field(120.0, gt=0)
    """Longest loading of an adapter."""
    health_every_seconds: float = Field(0.5, gt=0)
    """How often each replica is asked whether it is well, and what it has loaded."""
    health_timeout_seconds: float = Field(10.0, gt=0)
    """Longest wait for that answer before the replica counts as away."""
    reprove_every_seconds: float = Field(600.0, gt=0)
    """How often adapters are proven again although nothing seems to have happened."""
    attempts: int = Field(4, ge=1, le=20)
    """How often an answer that has no token yet, or a question without side effects, is tried in all."""
    backoff_seconds: float = Field(0.1, gt=0)
    """Mean pause before the first repetition; it doubles each time, and half of it is drawn at random."""


class EngineSettings(Section):
    """What computes the answers."""

    kind: Literal["local", "vllm"] = "local"
    """`local`: the base model in this process; `vllm`: servers elsewhere."""
    vllm: VllmSettings = VllmSettings()
    """The servers, with `kind = "vllm"`."""

    @model_validator(mode="after")
    def _has_servers(self) -> "EngineSettings":
        if self.kind == "vllm" and not self.vllm.urls:
            raise ValueError('serving.engine.kind = "vllm" needs serving.engine.vllm.urls: name at least one server')
        return self
