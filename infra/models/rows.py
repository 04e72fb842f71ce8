"""One answer while it is drawn: its tokens, when it ends, and the numbers it is drawn with."""

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult, TopLogprobs
from infra.models.text import TextStream


class AnswerRow:
    """What one request has drawn so far."""

    def __init__(self, request: GenerationRequest, loaded: LoadedModel) -> None:
        self.request = request
        self.limit = request.sampling.max_tokens
        self.ends = loaded.end_ids
        self.tokens: list[int] = []
        self.raw: list[float] = []
        self.sampled: list[float] = []
        self.tops: list[TopLogprobs] = []
        self.finish_reason = "length"
        stop = request.sampling.stop
        self.text = TextStream(loaded.tokenizer, stop) if stop else None

    def left(self) -> bool:
        """Whether nobody waits for the answer any more; it then ends as `cancelled`."""
        if self.request.is_cancelled is None or not self.request.is_cancelled():
            return False
        self.finish_reason = "cancelled"
        return True

    def take(self, token: int, raw: float, sampled: float, top: TopLogprobs = ()) -> bool:
        """Add a token; true when the row goes on."""
        self.tokens.append(token)
        self.raw.append(raw)
        self.sampled.append(sampled)
        if self.request.top_logprobs:
            self.tops.append(top)
        if self.request.on_token is not None:
            self.request.on_token(token, raw, sampled)
        if self.text is not None:
            self.text.push(token)
        if token in self.ends or (self.text is not None and self.text.stopped):
            self.finish_reason = "stop"
            return False
        return len(self.tokens) < self.limit

    def uniforms(self, count: int) -> Tensor:
        """The first `count` float64 in [0, 1) that the row draws with: by its seed, or from the system's entropy."""
        seed = self.request.sampling.seed
        entropy = int.from_bytes(os.urandom(8)) >> 1
        generator = torch.Generator().manual_seed(entropy if seed is None else seed)
        return torch.rand(count, generator=generator, dtype=torch.float64)

    def result(self) -> GenerationResult:
        return GenerationResult(
            tuple(self.tokens), tuple(self.raw), tuple(self.sampled), self.finish_reason, tuple(self.tops)
        )


def top_logprobs(logits: Tensor, wanted: Sequence[int]) -> list[TopLogprobs]:
    """The likeliest `wanted[i]` tokens of each row of `logits` [N, V] with log softmax; () where none are wanted."""
    found: list[TopLogprobs] = [()] * len(wanted)
    rows = [row for row, count in enumerate(wanted) if count]
    if not rows:
        return found
    asked = logits[rows].float()
    values, tokens = asked.topk(max(wanted), -1)
    values = values - asked.logsumexp(-1, keepdim=True)
    for row, ids, own in zip(rows, tokens.tolist(), values.tolist(), strict=True):
        found[row] = tuple(zip(ids, own, strict=True))[: wanted[row]]
    return found
