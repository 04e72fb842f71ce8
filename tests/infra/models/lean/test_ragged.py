"""Mixed steps against transformers' own forward pass, one row at a time, each adapter merged into its weights."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from infra.models.kv_tables import KvMemory
from infra.models.lean.choirs import Choirs
from infra.models.lean.forced import shape_of
from infra.models.lean.ragged import hidden_states, logits
from infra.models.lean.steps import Span, lay_out
from infra.models.lean.voices import Voice, voice_of, with_lora
from infra.models.lean.weights import lay_together
from tests.infra.models.lean.test_forward import KINDS

Pairs = Mapping[str, tuple[Tensor, Tensor]]
SCALE = 1.5
TARGETS = {
    "all": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "some": ("q_proj", "v_proj", "up_proj"),
}


def pairs_of(model: Any, targets: tuple[str, ...], seed: int, rank: int = 2) -> Pairs:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(rank, module.in_features, generator=draw) * 0.3,
            torch.randn(module.out_features, rank, generator=draw) * 0.3,
        )
        for name, module in model.get_decoder().named_modules()
        if name.rsplit(".", 1)[-1] in targets
    }


def merged(model: Any, pairs: Pairs) -> Any:
    own = copy.deepcopy(model)
    with torch.no_grad():
        for name, (a, b) in pairs.items():
            own.get_decoder().get_submodule(name).weight.add_(b @ a, alpha=SCALE)
    return own


class World:
    """A model, two adapters beside it, a third merged, and for each the oracle."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        model = KINDS[kind]()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0.5 if parameter.ndim == 1 else 0.0, 0.3)
        model.requires_grad_(False).eval()
        adapters = [pairs_of(model, TARGETS["all"], 1), pairs_of(model, TARGETS["some"], 2, rank=3)]
        third = merged(model, pairs_of(model, TARGETS["all"], 3))
        self.oracles = [model, *(merged(model, pairs) for pairs in adapters), third]
        base = _voice(model)
        self.voices = [base, *(found for pairs in adapters if (found := with_lora(base, pairs, SCALE))), _voice(third)]
        assert len(self.voices) == 4

    def expected(self, which: int, ids: list[int]) -> Tensor:
        return self.oracles[which](torch.tensor([ids])).logits[0].log_softmax(-1)  # type: ignore[no-any-return]


def _voice(model: Any) -> Voice:
    lay_together(model)
    voice = voice_of(model.get_decoder(), model.get_output_embeddings().weight)
    assert voice is not None
    return voice


WORLDS: dict[str, World] = {}


def world(kind: str) -> World:
    return WORLDS.setdefault(kind, World(kind))


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # adapter
        st.lists(st.integers(1, 59), min_size=1, max_size=14),  # tokens
        st.integers(0, 4),  # the step it comes in
        st.integers(1, 6),  # tokens a step, at most
        st.sampled_from([20, 130, 300]),  # the place it takes
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=12, deadline=None)
@given(rows=ROWS, together=st.booleans())
def test_a_row_is_computed_as_if_it_were_alone(
    kind: str, rows: list[tuple[int, list[int], int, int, int]], together: bool
) -> None:
    here = world(kind)
    choirs = Choirs() if together else None
    memory = KvMemory(shape_of(here.voices[0]), limit_bytes=1 << 30, longest=512, max_rows=8)
    found: list[list[Tensor]] = [[] for _ in rows]
    lanes: dict[int, Any] = {}
    clock = 0
    while any(sum(map(len, found[i])) < len(ids) for i, (_, ids, *_) in enumerate(rows)):
        spans, going = [], []
        for i, (which, ids, comes, most, place) in enumerate(rows):
            done = sum(map(len, found[i]))
            if clock < comes or done == len(ids):
                continue
            lanes.setdefault(i, memory.open(place))
            spans.append(Span(lanes[i], here.voices[which], ids[done : done + most]))
            going.append(i)
        clock += 1
        if not spans:
            continue
        step = lay_out(spans, choirs)
        hidden = hidden_states(step)
        for i, span, last in zip(going, spans, step.lasts.tolist(), strict=True):
            span.lane.length += len(span.ids)
            places = torch.arange(last - len(span.ids) + 1, last + 1)
            found[i].append(logits(step, hidden, places).log_softmax(-1))
        for i in [i for i in going if lanes[i].length == len(rows[i][1])]:
            memory.close(lanes[i])
    for (which, ids, *_), parts in zip(rows, found, strict=True):
        assert torch.allclose(torch.cat(parts), here.expected(which, ids), atol=2e-4)


def test_a_long_prompt_in_pieces() -> None:
    here = world("llama")
    ids = [1 + number % 59 for number in range(700)]  # more keys than attention is written out for
    memory = KvMemory(shape_of(here.voices[0]), limit_bytes=1 << 30, longest=1024, max_rows=2)
    lane = memory.open(len(ids))
    assert lane is not None
    for piece in (ids[:300], ids[300:699], ids[699:]):
        step = lay_out([Span(lane, here.voices[1], piece)])
        found = logits(step, hidden_states(step), step.lasts).log_softmax(-1)
        lane.length += len(piece)
    assert torch.allclose(found[0], here.expected(1, ids)[-1], atol=5e-4)


def test_short_rows_beside_long_ones_see_nothing_of_who_was_there_before() -> None:
    """The long one lets whole places be read: beyond what a row has computed lies nothing, and counts for nothing."""
    here = world("llama")
    memory = KvMemory(shape_of(here.voices[0]), limit_bytes=1 << 30, longest=512, max_rows=2)
    spoiled = memory.open(100)
    assert spoiled is not None
    for tensor in (*spoiled.table.keys, *spoiled.table.values):
        tensor.fill_(float("nan"))
    memory.close(spoiled)
    rows = [(0, [1 + n % 59 for n in range(70)]), (1, [7, 8, 9])]
    lanes = [memory.open(100) for _ in rows]
    assert all(lane is not None and lane.table.capacity == 128 for lane in lanes)
    for piece in (slice(0, -1), slice(-1, None)):
        spans = [Span(lane, here.voices[v], ids[piece]) for lane, (v, ids) in zip(lanes, rows, strict=True) if lane]
        step = lay_out(spans)
        found = logits(step, hidden_states(step), step.lasts).log_softmax(-1)
        for span in spans:
            span.lane.length += len(span.ids)
    assert step.draws[0].length == 128
    for (which, ids), values in zip(rows, found, strict=True):
        assert torch.allclose(values, here.expected(which, ids)[-1], atol=2e-4)


def test_a_module_outside_the_layers_has_no_place_beside() -> None:
    here = world("llama")
    base = here.voices[0]
    assert with_lora(base, {"lm_head": (torch.zeros(1, 24), torch.zeros(60, 1))}, 1.0) is None


def test_weights_that_lie_apart_are_copied_together() -> None:
    model = copy.deepcopy(world("qwen2").oracles[0])
    attention = model.get_decoder().layers[0].self_attn
    attention.k_proj.weight.data = attention.k_proj.weight.data.clone()
    voice = voice_of(model.get_decoder(), model.get_output_embeddings().weight)
    assert voice is not None
    assert len(voice.lean.layers[0].qkv) == 1
    both = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    assert torch.equal(voice.lean.layers[0].qkv[0].weight, both)
