"""Attention within groups: G answers that share one prompt, laid end to end as [prompt, answer 1, ..., answer G].

Queries [T, heads, width], keys and values [T, kv_heads, width] of one group. The prompt sees itself; each answer sees
the prompt and itself. Heads that share keys are folded into rows, so keys are never repeated.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.kv_cache import additive_mask

_SHORT = 512
"""Keys up to which attention is written out: the backward pass of the fused kernel is slower there on a CPU."""


@dataclass(frozen=True)
class Spread:
    """How G answers of unequal length become rows of equal length and back: `rows` [G * T] picks a token for each place
    (any for padding), `back` [tokens] the place of each token."""

    rows: Tensor
    back: Tensor


@dataclass(frozen=True)
class Block:
    """One group in the batch: tokens [start, start + prompt) are the prompt, up to `end` its `answers` answers, each of
    `longest` tokens once spread. `mask` [repeats * longest, prompt + longest] additive, `own` the prompt's."""

    start: int
    prompt: int
    end: int
    answers: int
    longest: int
    spread: Spread | None
    own: Tensor
    mask: Tensor


def make_block(
    start: int, prompt: int, lengths: list[int], repeats: int, dtype: torch.dtype, device: torch.device
) -> Block:
    """The block of a prompt of `prompt` >= 1 tokens at `start`, with answers of `lengths` tokens behind it."""
    longest = max(lengths, default=0)
    total = sum(lengths)
    spread = None
    if total != longest * len(lengths):
        begins = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
        places = torch.arange(longest)[None, :]
        real = places < torch.tensor(lengths)[:, None]
        rows = torch.where(real, begins[:, None] + places, 0).flatten()
        spread = Spread(rows.to(device), real.flatten().nonzero().squeeze(1).to(device))

    def causal(queries: int, keys: int) -> Tensor:
        allowed = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        return additive_mask(allowed, dtype).repeat(repeats, 1)

    own, mask = causal(prompt, prompt), causal(longest, prompt + longest)
    return Block(start, prompt, start + prompt + total, len(lengths), longest, spread, own, mask)


class Pick(torch.autograd.Function):
    """x[index] along the first axis, where the gradient is that of `back` of the result (each taken once)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grads[0].index_select(0, back), None, None


class PutBack(torch.autograd.Function):
    """x[back]: tokens out of spread rows; padding gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        ctx.places = x.shape[0]
        return x.index_select(0, back)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (back,) = ctx.saved_tensors
        out = grads[0].new_zeros(ctx.places, *grads[0].shape[1:])
        return out.index_copy_(0, back, grads[0]), None


def attend(query: Tensor, key: Tensor, value: Tensor, block: Block, scale: float) -> Tensor:
    """Attention output [T, heads * width] of one group's tokens."""
    first = block.prompt
    prefix_k, prefix_v = _keys(key[:first], 1), _keys(value[:first], 1)
    kept = [_unfold(attention(_fold(query[:first], prefix_k, 1), prefix_k, prefix_v, block.own, scale), first)]
    if block.answers:
        parts = [tensor[first:] for tensor in (query, key, value)]
        if block.spread is not None:
            parts = [Pick.apply(p, block.spread.rows, block.spread.back) for p in parts]  # type: ignore[no-untyped-call]
        q, k, v = parts
        count, kv = block.answers, key.shape[1]
        own_k, own_v = _keys(k, count), _keys(v, count)
        keys, values = (
            torch.cat([old.expand(count, kv, *old.shape[2:]), new], 2)
            for old, new in ((prefix_k, own_k), (prefix_v, own_v))
        )
        out = _unfold(attention(_fold(q, own_k, count), keys, values, block.mask, scale), block.longest)
        kept.append(out if block.spread is None else PutBack.apply(out, block.spread.back))  # type: ignore[no-untyped-call]
    return torch.cat(kept) if len(kept) > 1 else kept[0]


def _keys(x: Tensor, rows: int) -> Tensor:
    """[rows * L, kv, width] -> [rows, kv, L, width]."""
    return x.view(rows, -1, *x.shape[1:]).transpose(1, 2)


def _fold(query: Tensor, keys: Tensor, rows: int) -> Tensor:
    """[rows * L, heads, width] -> [rows, kv, repeats * L, width]."""
    kv, width = keys.shape[1], query.shape[2]
    split = query.view(rows, -1, kv, query.shape[1] // kv, width)
    return split.permute(0, 2, 3, 1, 4).reshape(rows, kv, -1, width)


def _unfold(out: Tensor, length: int) -> Tensor:
    """[rows, kv, repeats * L, width] -> [rows * L, heads * width]."""
    rows, kv, _, width = out.shape
    return out.view(rows, kv, -1, length, width).permute(0, 3, 1, 2, 4).reshape(rows * length, -1)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(q k^T scale + mask) v over [rows, kv, queries, width]."""
    if key.shape[2] > _SHORT or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    q, k, v = query.flatten(0, 1), key.reshape(-1, *key.shape[2:]), value.reshape(-1, *value.shape[2:])
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)
    return (scores.softmax(-1) @ v).view(query.shape)
