"""How the rows of a step lie in it: who draws brings one token, who begins a piece of prompt.

The tokens of a step lie end to end, those of one adapter together, and tokens of one set of weights around them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from infra.models.kv_cache import additive_mask
from infra.models.kv_tables import KvTable, Lane
from infra.models.lean.choirs import MOST_TOKENS, Choir, Choirs
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


class Together(NamedTuple):
    """Tokens [first, last) computed with the adapters of `choir`; `silent` by its layouts, [last - first, R] each."""

    first: int
    last: int
    choir: Choir
    silent: tuple[Tensor, ...]


@dataclass(frozen=True)
class Step:
    """Tokens [T] laid out for one pass. `runs` are the tokens of each set of weights, `adapted` those of each adapter
    that lies beside them; with `together` those are computed as one instead. `lasts` [spans] is the index of the last
    token of each span, in the order given."""

    ids: Tensor
    positions: Tensor
    writes: tuple[Write, ...]
    draws: tuple[Draws, ...]
    pieces: tuple[Piece, ...]
    runs: tuple[Part, ...]
    adapted: tuple[Part, ...]
    together: Together | None
    lasts: Tensor


@torch.inference_mode()
def lay_out(spans: Sequence[Span], choirs: Choirs | None = None) -> Step:
    """The step that computes `spans`, at most one for each lane; their lanes are not changed yet. Without `choirs` the
    adapters are computed one after the other."""
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
    adapted = tuple(part for part in _parts(laid, starts, 2) if part.voice.lora is not None)
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
        adapted,
        None if choirs is None else _together(adapted, choirs),
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


def _together(adapted: tuple[Part, ...], choirs: Choirs) -> Together | None:
    """What lies beside one base lies end to end: bare tokens of it come first, other weights before or after."""
    if len(adapted) < 2 or len({id(part.voice.lean) for part in adapted}) > 1:
        return None
    first, last = adapted[0].first, adapted[-1].last
    choir = choirs.of([part.voice for part in adapted]) if last - first <= MOST_TOKENS else None
    if choir is None:
        return None
    speakers = [part.voice for part in adapted for _ in range(part.last - part.first)]
    return Together(first, last, choir, choir.silent(speakers))
