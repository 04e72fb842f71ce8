"""One step over rows of any length and any adapter, as `infra.models.lean.steps` lays it out.

Every product runs once over all tokens with the base's weights; an adapter adds its LoRA to its own tokens, several of
them together where that is faster. Attention runs once for each table over the rows that bring one token, and once for
each piece of a prompt.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.lean.attention import attention
from infra.models.lean.layers import rms_norm, rotate, swiglu
from infra.models.lean.packed import linear
from infra.models.lean.steps import Draws, Piece, Step, Write


@torch.inference_mode()
def hidden_states(step: Step) -> Tensor:
    """Final hidden states [T, H] of the step's tokens; their keys and values are written into the tables."""
    lean = step.runs[0].voice.lean
    x = F.embedding(step.ids, lean.embedding)
    cos, sin = lean.angles(step.positions)
    heads, kv = lean.heads, lean.kv_heads
    for index, layer in enumerate(lean.layers):
        projected = _product(step, index, "qkv", rms_norm(x, layer.norm, lean.eps))
        both, value = torch.split(projected.view(len(x), -1, lean.width), [heads + kv, kv], 1)
        query, key = torch.split(rotate(both, cos, sin), [heads, kv], 1)
        for write in step.writes:
            _put(write, write.table.keys[index], key)
            _put(write, write.table.values[index], value)
        x = x + _product(step, index, "out", _mix(step, index, query, lean.width**-0.5))
        inner = _product(step, index, "gate_up", rms_norm(x, layer.norm_mlp, lean.eps))
        x = x + _product(step, index, "down", swiglu(inner))
    return rms_norm(x, lean.norm, lean.eps)


@torch.inference_mode()
def logits(step: Step, hidden: Tensor, chosen: Tensor) -> Tensor:
    """Logits [M, V] of the tokens `chosen` [M] of the step, each by its own voice's head."""
    first = step.runs[0].voice
    head = first.head
    if all(part.voice.head is head for part in step.runs):
        return linear(hidden[chosen], head, None, first.head_layout)
    out = hidden.new_empty(len(chosen), head.shape[0])
    for part in step.runs:
        rows = ((chosen >= part.first) & (chosen < part.last)).nonzero().squeeze(1)
        out[rows] = linear(hidden[chosen[rows]], part.voice.head, None, part.voice.head_layout)
    return out


def _product(step: Step, index: int, kind: str, x: Tensor) -> Tensor:
    """One product of layer `index` over all tokens: once for each set of weights, then each adapter's LoRA."""
    outs = []
    for run in step.runs:
        product = getattr(run.voice.lean.layers[index], kind)[0]
        rows = x if len(step.runs) == 1 else x[run.first : run.last]
        outs.append(linear(rows, product.weight, product.bias, product.layout))
    out = outs[0] if len(outs) == 1 else torch.cat(outs)
    if step.together is not None:
        first, last, choir, silent = step.together
        joined = choir.lora[index].get(kind)
        if joined is not None:
            joined.beside.add_to(out[first:last], x[first:last], silent[joined.layout])
        return out
    for part in step.adapted:
        own = part.voice.lora[index].get(kind) if part.voice.lora is not None else None
        if own is not None:
            own.add_to(out[part.first : part.last], x[part.first : part.last])
    return out


def _put(write: Write, into: Tensor, what: Tensor) -> None:
    """Write keys or values [T, heads, width] of a step into one layer of a table."""
    chosen = what if write.tokens is None else what.index_select(0, write.tokens)
    into.view(-1, into.shape[-1]).index_copy_(0, write.index, chosen.reshape(-1, into.shape[-1]))


def _mix(step: Step, index: int, query: Tensor, scale: float) -> Tensor:
    """Attention output [T, heads * width]."""
    if len(step.draws) == 1 and step.draws[0].take is None:
        return _draw_attention(step.draws[0], index, query, scale)
    out = query.new_empty(query.shape[0], query.shape[1] * query.shape[2])
    for draws in step.draws:
        found = _draw_attention(draws, index, query, scale)
        out.index_copy_(0, draws.tokens, found.index_select(0, draws.slots))
    for piece in step.pieces:
        out[piece.first : piece.last] = _piece_attention(piece, index, query[piece.first : piece.last], scale)
    return out


def _draw_attention(draws: Draws, index: int, query: Tensor, scale: float) -> Tensor:
    """One query for each slot over its own keys: [count, heads * width]."""
    count, length = draws.count, draws.length
    chosen = query if draws.take is None else query.index_select(0, draws.take)
    keys = draws.table.keys[index][:count, :, :length].flatten(0, 1)
    values = draws.table.values[index][:count, :, :length].flatten(0, 1)
    scores = torch.bmm(chosen.reshape(keys.shape[0], -1, keys.shape[2]), keys.transpose(1, 2)).mul_(scale)
    if draws.mask is not None:
        scores.view(count, -1, length).add_(draws.mask)
    return torch.bmm(scores.softmax(-1), values).view(count, -1)


def _piece_attention(piece: Piece, index: int, query: Tensor, scale: float) -> Tensor:
    """Queries [count, heads, width] of one row over its keys so far: [count, heads * width]."""
    keys = piece.table.keys[index][piece.slot, :, : piece.end]
    values = piece.table.values[index][piece.slot, :, : piece.end]
    count, heads, width = query.shape
    kv = keys.shape[0]
    folded = query.view(count, kv, heads // kv, width).permute(1, 2, 0, 3).reshape(1, kv, -1, width)
    out = attention(folded, keys[None], values[None], piece.mask, scale)
    return out.view(kv, heads // kv, count, width).permute(2, 0, 1, 3).reshape(count, heads * width)
