"""The generation port: what serving and policy updates ask of whatever computes the language model."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from infra.contracts import Fingerprint, SamplingParameters

TopLogprobs = tuple[tuple[int, float], ...]
"""The likeliest tokens at one place with their log-probabilities (nats), likeliest first."""


class GenerationRequest(msgspec.Struct, frozen=True):
    """One prompt to answer: `prompt_token_ids` already templated; `adapter` is `name@version` or `base`.

    `on_token(token_id, logprob_raw, logprob_sampled)` is called from the engine's thread for each token as it is drawn.
    `is_cancelled()` is asked between tokens: once true, the row is dropped and ends with `cancelled`.
    `flow`: whose requests these are; an engine that is busy takes turns among flows. `conversation`: requests of one
    flow, conversation and adapter may reuse what was computed for an earlier one; without it only those submitted
    together do. `top_logprobs`: how many of the likeliest tokens to report at each place, of the distribution of
    `logprob_raw`.
    """

    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParameters
    adapter: str = "base"
    on_token: Callable[[int, float, float], None] | None = None
    is_cancelled: Callable[[], bool] | None = None
    flow: str = ""
    conversation: str | None = None
    top_logprobs: int = 0


class GenerationResult(msgspec.Struct, frozen=True):
    """One completion. `finish_reason` is `stop` (end token or stop string), `length` or `cancelled`; the end token is
    in `token_ids`, and so is every token of a stop string. `top_logprobs[t]`: the likeliest (token, log-probability) at
    place t, where they were asked for."""

    token_ids: tuple[int, ...]
    logprobs_raw: tuple[float, ...]
    logprobs_sampled: tuple[float, ...]
    finish_reason: str
    top_logprobs: tuple[TopLogprobs, ...] = ()


class GenerationEngine(Protocol):
    """A model that answers batches, with any of several adapters loaded on one base."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Answer all, in order. Requests of different adapters may come together."""
        ...

    def load_adapter(self, ref: str, path: str) -> None: ...

    def unload_adapter(self, ref: str) -> None: ...

    def loaded(self) -> frozenset[str]: ...

    def fingerprint(self, ref: str) -> Fingerprint:
        """Log-probabilities on the fixed probe prompts, as served now."""
        ...
