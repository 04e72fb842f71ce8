"""Packed sequences cost their distinct tokens, and compute what each would alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.models.loading import LoadedModel
from infra.models.packed_attention import IMPLEMENTATION, packed_hidden, packed_inputs
from infra.models.packing import block_mask, budgeted, pack, packed_size, prompt_groups, shared_prefix, tokens_of

TOKENS = st.lists(st.integers(3, 40), min_size=1, max_size=9)
PAIR = [[1, 5, 6, 7, 8], [1, 5, 6, 9]]


def test_a_shared_prefix_is_there_once() -> None:
    packed = pack([PAIR, [[2, 3]]])
    assert packed.ids.tolist() == [[1, 5, 6, 7, 8, 9, 2, 3]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1]]
    assert packed.last.tolist() == [4, 5, 7]
    assert packed_size(PAIR) == 6
    assert tokens_of(packed.groups[0], 1, 1, 4) == [1, 2, 5]


def test_every_sequence_keeps_a_token_of_its_own() -> None:
    assert shared_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert shared_prefix([[1, 2], [1, 2, 3]]) == 1
    assert shared_prefix([[4], [4, 5]]) == 0
    assert shared_prefix([[1, 2, 3]]) == 0


def test_the_mask_by_hand() -> None:
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    assert block_mask(pack([[[1, 5], [1, 6]], [[2]]])).int().tolist() == expected


def test_nothing_cannot_be_packed() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        pack([[[1], []]])
    with pytest.raises(ValueError, match="without sequences"):
        pack([[]])


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 50))
def test_budgets_hold_and_nothing_is_lost(sizes: list[int], budget: int) -> None:
    batches = list(budgeted(sizes, budget))
    assert [i for batch in batches for i in batch] == list(range(len(sizes)))
    assert all(len(batch) == 1 or sum(sizes[i] for i in batch) <= budget for batch in batches)


@given(st.lists(st.tuples(st.integers(0, 2), TOKENS), min_size=1, max_size=12), st.integers(1, 40))
def test_groups_have_one_prompt_and_hold_the_budget(rows: list[tuple[int, list[int]]], budget: int) -> None:
    sequences = [[100 + prompt] * 4 + answer for prompt, answer in rows]
    groups = prompt_groups(sequences, [4] * len(rows), budget)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    assert all(len({rows[i][0] for i in group}) == 1 for group in groups)
    assert all(len(group) == 1 or packed_size([sequences[i] for i in group]) <= budget for group in groups)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_hidden_states_and_gradients_are_those_of_each_alone(tiny_loaded: LoadedModel, implementation: str) -> None:
    """`sdpa` runs sequence by sequence, `eager` by a block mask; the oracle is the model on one sequence at a time."""
    decoder = tiny_loaded.model.model
    weight = decoder.layers[0].self_attn.q_proj.weight.requires_grad_()

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=3)), min_size=1, max_size=3))
    def check(rows: list[tuple[list[int], list[list[int]]]]) -> None:
        groups = [[prompt + answer for answer in answers] for prompt, answers in rows]
        tiny_loaded.model.set_attn_implementation("sdpa")
        alone = [decoder(torch.tensor([s])).last_hidden_state[0, -1] for group in groups for s in group]
        expected = torch.autograd.grad(torch.stack(alone).square().sum(), weight)[0]
        tiny_loaded.model.set_attn_implementation(implementation)
        packed = pack(groups)
        found = packed_hidden(decoder, packed)[packed.last]
        assert torch.allclose(found, torch.stack(alone), atol=1e-5)
        assert torch.allclose(torch.autograd.grad(found.square().sum(), weight)[0], expected, atol=1e-3, rtol=1e-3)
        with torch.no_grad():
            assert torch.allclose(packed_hidden(decoder, packed)[packed.last], found, atol=1e-5)

    check()


def test_other_passes_of_a_switched_model_are_as_before(tiny_loaded: LoadedModel) -> None:
    model = tiny_loaded.model
    ids = torch.tensor([[1, 5, 6, 7, 2, 2], [1, 9, 10, 11, 12, 13]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    before = model(ids, attention_mask=mask).logits
    drawn = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False, pad_token_id=2)
    packed_inputs(model.model, pack([PAIR]))
    assert model.config._attn_implementation == IMPLEMENTATION
    assert torch.equal(model(ids, attention_mask=mask).logits, before)
    again = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False, pad_token_id=2)
    assert torch.equal(again, drawn)
