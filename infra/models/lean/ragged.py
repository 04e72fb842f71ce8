"""One step over rows of any length and any adapter: who draws brings one token, who begins a piece of prompt.

The tokens of a step lie end to end, those of one adapter together. Every product runs once over all of them with the
base's weights; an adapter adds its LoRA to its own tokens. Attention runs once for each table over the rows that bring
one token, and once for each piece of a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.kv_cache import additive_mask
from infra.models.kv_tables import KvTable, Lane
from infra.models.lean.attention import attention
from infra.models.lean.layers import rms_norm, rotate, swiglu
from infra.models.lean.packed import linear
from infra.models.lean.voices import Voice


class Span(NamedTuple):
    """The next tokens of one row: `ids` follow the `lane.length` tokens already computed."""

    lane: Lane
    voice: Voice
    ids: Sequence[int]


@dataclass(frozen=True)
class Write:
    """Where the keys and values of a step go in one table: token `tokens[i]` (all in order where None) has the places
    `index[i, heads]` of [rows * heads * capacity]."""

    table: KvTable
    tokens: Tensor | None
    index: Tensor


@dataclass(frozen=True)
class Draws:
    """Rows of one table that bring one token each. `take[s]` is the token of slot s < `count` (any for slots that bring
    none; None where tokens and slots are the same), `tokens` those that are meant and `slots` theirs. `mask` [count, 1,
    length] additive, None where every row has `length` keys."""

    table: KvTable
    count: int
    length: int
    take: Tensor | None
    tokens: Tensor
    slots: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Piece:
    """Tokens [first, last) are a piece of the prompt of the row in `slot`, which then has `end` keys. `mask`
    [repeats * (last - first), end] additive."""

    table: KvTable
    slot: int
    first: int
    last: int
    end: int
    mask: Tensor


@dataclass(frozen=True)
class Part:
    """Tokens [first, last) computed with `voice`: with one adapter, or one set of weights."""

    first: int
    last: int
    voice: Voice


@dataclass(frozen=True)
class Step:
    """Tokens [T] laid out for one pass. `runs` are the tokens of each set of weights, `adapted` those of each adapter
    that lies beside them; `lasts` [spans] the index of the last token of each span, in the order given."""

    ids: Tensor
    positions: Tensor
    writes: tuple[Write, ...]
    draws: tuple[Draws, ...]
    pieces: tuple[Piece, ...]
    runs: tuple[Part, ...]
    adapted: tuple[Part, ...]
    lasts: Tensor


@torch.inference_mode()
def lay_out(spans: Sequence[Span]) -> Step:
    """The step that computes `spans`, at most one for each lane; their lanes are not changed yet."""
    lean = spans[0].voice.lean
    device = lean.embedding.device
    order = sorted(range(len(spans)), key=lambda i: _place(spans[i]))
    firsts, total = [0] * len(spans), 0
    for i in order:
        firsts[i] = total
        total += len(spans[i].ids)
    laid = [spans[i] for i in order]
    starts = [firsts[i] for i in order]
    positions = [span.lane.length + k for span in laid for k in range(len(span.ids))]
    tables = list({id(span.lane.table): span.lane.table for span in laid}.values())
    return Step(
        torch.tensor([token for span in laid for token in span.ids], device=device),
        torch.tensor(positions, device=device),
        tuple(_write(table, laid, starts, len(tables) == 1) for table in tables),
        tuple(found for table in tables if (found := _draws(table, laid, starts, lean.embedding.dtype)) is not None),
        tuple(
            _piece(span, start, lean.heads // lean.kv_heads, lean.embedding.dtype)
            for span, start in zip(laid, starts, strict=True)
            if len(span.ids) > 1
        ),
        _parts(laid, starts, 1),
        tuple(part for part in _parts(laid, starts, 2) if part.voice.lora is not None),
        torch.tensor([first + len(span.ids) - 1 for first, span in zip(firsts, spans, strict=True)], device=device),
    )


def _place(span: Span) -> tuple[int, int, int, int, int]:
    """Where a span lies in its step: with its weights and its adapter, single tokens first, by table and slot."""
    voice = span.voice
    lora = 0 if voice.lora is None else id(voice)
    return id(voice.lean), lora, len(span.ids) > 1, span.lane.table.capacity, span.lane.slot


def _write(table: KvTable, laid: list[Span], starts: list[int], alone: bool) -> Write:
    heads, device = table.shape.heads, table.shape.device
    tokens: list[int] = []
    bases: list[int] = []
    for span, start in zip(laid, starts, strict=True):
        if span.lane.table is table:
            tokens += range(start, start + len(span.ids))
            base = span.lane.slot * heads * table.capacity + span.lane.length
            bases += range(base, base + len(span.ids))
    index = torch.tensor(bases, device=device)[:, None] + torch.arange(heads, device=device) * table.capacity
    return Write(table, None if alone else torch.tensor(tokens, device=device), index.flatten())


def _draws(table: KvTable, laid: list[Span], starts: list[int], dtype: torch.dtype) -> Draws | None:
    found = [(span.lane, start) for span, start in zip(laid, starts, strict=True) if len(span.ids) == 1]
    mine = [(lane, start) for lane, start in found if lane.table is table]
    if not mine:
        return None
    device = table.shape.device
    count = max(lane.slot for lane, _ in mine) + 1
    lengths = [0] * count
    take = [0] * count
    for lane, start in mine:
        lengths[lane.slot], take[lane.slot] = lane.length + 1, start
    length = _keys_read(table, max(lengths))
    mask = None
    if min(lengths) < length:
        seen = torch.arange(length, device=device) < torch.tensor(lengths, device=device)[:, None]
        mask = additive_mask(seen, dtype)[:, None]
    same = take == list(range(len(laid)))
    tokens, slots = [start for _, start in mine], [lane.slot for lane, _ in mine]
    return Draws(
        table,
        count,
        length,
        None if same and len(mine) == len(laid) else torch.tensor(take, device=device),
        torch.tensor(tokens, device=device),
        torch.tensor(slots, device=device),
        mask,
    )


def _keys_read(table: KvTable, longest: int) -> int:
    """How many keys of each row to read, at least `longest`. On a CPU a product over part of a table copies that part
    first, which costs more than to read it whole, unless that is several times as much."""
    whole = table.shape.device.type == "cpu" and table.capacity <= 2 * longest
    return table.capacity if whole else longest


def _piece(span: Span, start: int, repeats: int, dtype: torch.dtype) -> Piece:
    lane, count = span.lane, len(span.ids)
    end = lane.length + count
    seen = torch.ones(count, end, dtype=torch.bool, device=lane.table.shape.device).tril(lane.length)
    return Piece(lane.table, lane.slot, start, start + count, end, additive_mask(seen, dtype).repeat(repeats, 1))


def _parts(laid: list[Span], starts: list[int], depth: int) -> tuple[Part, ...]:
    """Tokens that have the first `depth` of their weights and their adapter in common."""
    parts = []
    for _, group in groupby(zip(laid, starts, strict=True), key=lambda pair: _place(pair[0])[:depth]):
        own = list(group)
        (first_span, first), (last_span, last) = own[0], own[-1]
        parts.append(Part(first, last + len(last_span.ids), first_span.voice))
    return tuple(parts)


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
    for part in step.adapted:
        own = part.voice.lora[index].get(kind) if part.voice.lora is not None else None
        if own is not None:
            out[part.first : part.last].addmm_(x[part.first : part.last] @ own.a.t(), own.b.t())
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
