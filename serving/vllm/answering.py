"""One answer from a server: its tokens taken as they come, ended where the port says it ends."""

import math

from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.models.text import TextStream
from serving.vllm.errors import ReplicaFailed
from serving.vllm.wire import LogprobsMode, Piece, as_logged


class Collected:
    """What one request has drawn so far."""

    def __init__(self, request: GenerationRequest, base: LoadedModel, mode: LogprobsMode) -> None:
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self.request = request
        self._ends = base.end_ids
        self._mode = mode
        self._raw: list[float | None] = []
        self._sampled: list[float | None] = []
        stop = request.sampling.stop
        self._text = TextStream(base.tokenizer, stop) if stop else None

    @property
    def complete(self) -> bool:
        """Whether every raw log-probability is known."""
        return None not in self._raw

    def take(self, piece: Piece) -> bool:
        """Add tokens; true while the answer goes on. What a server sends after an end is not taken. Raises
        ReplicaFailed for an end that is none: a server that gives up, or is shut down, says `abort` or `error`."""
        for token, given in zip(piece.token_ids, piece.logprobs, strict=True):
            if not self._take(token, given):
                return False
        if piece.finish_reason is not None:
            if piece.finish_reason not in ("stop", "length"):
                raise ReplicaFailed(f"the server gave the answer up (finish_reason {piece.finish_reason!r})")
            self.finish_reason = piece.finish_reason
            return False
        return True

    def with_raw(self, scores: list[float]) -> None:
        """The raw log-probabilities, asked for afterwards."""
        self._raw = list(scores)

    def result(self) -> GenerationResult:
        """Complete by now."""
        raw = tuple(math.nan if value is None else value for value in self._raw)
        sampled = tuple(math.nan if value is None else value for value in self._sampled)
        return GenerationResult(tuple(self.tokens), raw, sampled, self.finish_reason or "length")

    def _take(self, token: int, given: float) -> bool:
        request = self.request
        if request.is_cancelled is not None and request.is_cancelled():
            self.finish_reason = "cancelled"
            return False
        raw, sampled = as_logged(given, request.sampling, self._mode)
        self.tokens.append(token)
        self._raw.append(raw)
        self._sampled.append(sampled)
        if request.on_token is not None:
            request.on_token(token, math.nan if raw is None else raw, math.nan if sampled is None else sampled)
        if self._text is not None:
            self._text.push(token)
        if token in self._ends or (self._text is not None and self._text.stopped):
            self.finish_reason = "stop"
            return False
        if len(self.tokens) >= request.sampling.max_tokens:
            self.finish_reason = "length"
            return False
        return True
