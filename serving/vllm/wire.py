"""vLLM's completions as they go over the wire: tokens in, tokens with log-probabilities out. Pure.

By `POST /v1/completions` (vLLM 0.10.2 and later): `prompt` as token ids, `return_token_ids`, `logprobs: 0` for the
log-probability of the sampled token alone, `prompt_logprobs: 0` for those of given tokens. Every sampling parameter is
named, since a server fills in what is missing from the model's `generation_config.json`.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from infra.contracts import SamplingParameters
from infra.models.port import GenerationRequest
from serving.engine_errors import EngineFailed
from serving.vllm.errors import ReplicaFailed

LogprobsMode = Literal["raw", "processed"]
"""What a server's `logprobs` are (`--logprobs-mode`): of the model itself, or after temperature, top-p and top-k."""

DONE = b"[DONE]"
_LOWEST = -9999.0
"""What vLLM sends for a log-probability of minus infinity."""


class Piece(NamedTuple):
    """Tokens that arrived together. `finish_reason` is None while the answer goes on."""

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: str | None


class _Logprobs(msgspec.Struct):
    token_logprobs: list[float | None] = []
    tokens: list[str] = []


class _Scored(msgspec.Struct):
    logprob: float


class _Choice(msgspec.Struct):
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    prompt_logprobs: list[dict[str, _Scored] | None] | None = None


class _Document(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


_DECODER = msgspec.json.Decoder(_Document)


def completion_body(
    prompt: Sequence[int], sampling: SamplingParameters, model: str, end_ids: Sequence[int], *, stream: bool = True
) -> dict[str, Any]:
    """The body that asks `model` (the base, or a loaded adapter, by its name there) for one answer."""
    return {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop": list(sampling.stop),
        "stop_token_ids": list(end_ids),
        "n": 1,
        "logprobs": 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "stream": stream,
        **({} if sampling.seed is None else {"seed": sampling.seed}),
    }


def scoring_body(tokens: Sequence[int], model: str) -> dict[str, Any]:
    """The body that asks for the log-probabilities of given tokens. vLLM draws at least one token more."""
    return {
        "model": model, "prompt": list(tokens), "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "n": 1,
        "add_special_tokens": False,
    }  # fmt: skip


def read_piece(document: bytes) -> Piece:
    """One chunk of a stream, or a whole answer. Raises EngineFailed for an error or what cannot be understood."""
    (choice,) = _choices(document)
    logprobs = choice.logprobs.token_logprobs if choice.logprobs is not None else []
    names = choice.logprobs.tokens if choice.logprobs is not None else []
    tokens = choice.token_ids if choice.token_ids is not None else [_token_of(name) for name in names]
    if len(tokens) != len(logprobs):
        raise EngineFailed(f"the server sent {len(tokens)} tokens with {len(logprobs)} log-probabilities")
    return Piece(tokens, [_LOWEST if value is None else value for value in logprobs], choice.finish_reason)


def read_scores(document: bytes, tokens: Sequence[int], begin: int) -> list[float]:
    """Log-probabilities (nats) of `tokens[begin:]`, begin >= 1, as the server gives them. Raises EngineFailed."""
    (choice,) = _choices(document)
    found = choice.prompt_logprobs
    if found is None or len(found) != len(tokens):
        raise EngineFailed(f"the server sent {len(found or ())} prompt_logprobs for {len(tokens)} tokens")
    try:
        return [(found[place] or {})[str(tokens[place])].logprob for place in range(begin, len(tokens))]
    except KeyError as error:
        raise EngineFailed(f"the server sent no log-probability of token {error} of its prompt") from error


def as_logged(given: float, sampling: SamplingParameters, mode: LogprobsMode) -> tuple[float | None, float | None]:
    """(raw, as sampled) log-probability of a token from what the server gives; None: it does not say.

    Drawn at temperature 1 without truncation the two are one. A greedy draw has no probability but 1, and its given
    one is raw in either mode.
    """
    if sampling.temperature == 0:
        return given, 0.0
    if is_plain(sampling):
        return given, given
    return (given, None) if mode == "raw" else (None, given)


def is_plain(sampling: SamplingParameters) -> bool:
    """Whether the model's own distribution is drawn from."""
    return sampling.temperature == 1 and sampling.top_p >= 1 and sampling.top_k == 0


def body_of(request: GenerationRequest, model: str, end_ids: Sequence[int]) -> dict[str, Any]:
    """`completion_body` of a request of the port."""
    return completion_body(request.prompt_token_ids, request.sampling, model, end_ids)


def message_of(body: bytes) -> str:
    """What a refusal says, in vLLM's or anybody's words, shortened."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")[:300]
    found = document.get("error", document) if isinstance(document, dict) else document
    return str(found.get("message", found) if isinstance(found, dict) else found)[:300]


def _choices(document: bytes) -> list[_Choice]:
    try:
        read = _DECODER.decode(document)
    except msgspec.DecodeError as error:
        raise EngineFailed(f"the server's answer cannot be read ({error})") from error
    if read.error is not None:
        raise ReplicaFailed(f"the server gave up: {message_of(document)}")
    if len(read.choices) != 1:
        raise EngineFailed(f"the server sent {len(read.choices)} choices, one was asked for")
    return read.choices


def _token_of(name: str) -> int:
    """`token_id:17` -> 17."""
    number = name.removeprefix("token_id:")
    if not number.isdecimal():
        raise EngineFailed(f"the server names token {name[:40]!r} by text: run vLLM 0.10.2 or later")
    return int(number)
