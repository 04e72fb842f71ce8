"""What holds for every recipe, whatever the rewards: found by hypothesis, over the whole table."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from policy_update.algebra.experience import Experience, Targets, Totals
from policy_update.algebra.recipe import Recipe
from policy_update.algebra.table import RECIPES
from tests.policy_update.algebra.helpers import experience

WEIGHTS = torch.tensor([1.0, 0.5], dtype=torch.float64)
TOTALS = Totals(20.0, 8.0, 5)
TABLES = hnp.arrays(np.float64, (2, 4, 2), elements=st.integers(-20, 20).map(lambda tenth: tenth / 10))
WITH_CRITIC = {"ppo", "vapo"}
BY_KL = {name for name, recipe in RECIPES.items() if "reward_kl" in recipe.all_numbers}
ADDING = {name for name, recipe in RECIPES.items() if {"overlong_weight", "length_weight"} & set(recipe.all_numbers)}
"""Recipes that add something to the reward which does not scale with it."""
NOT_SCALED = {"dr_grpo", "remax", "rloo"}
UNGROUPED = {"reinforce", "remax", "reinforce_pp", "ppo", "vapo"}
few = settings(max_examples=15, deadline=None)


@pytest.fixture(params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


def prepared(recipe: Recipe, given: Experience) -> Targets:
    return recipe.prepare(given, WEIGHTS, None)


def moved(given: Experience, scale: float = 0.3) -> torch.Tensor:
    """New log-probabilities: a fixed change of the old ones that depends on nothing but them."""
    return given.old_logprobs + scale * torch.sin(17 * given.old_logprobs) * given.mask


def loss(recipe: Recipe, given: Experience, new: torch.Tensor | None = None, beta: float = 0.1) -> torch.Tensor:
    assert given.entropies is not None
    assert given.values is not None
    new = moved(given) if new is None else new
    return recipe.loss(
        new, prepared(recipe, given), TOTALS, beta=beta, entropies=given.entropies, values=given.values + 0.1
    ).loss


def reordered(given: Experience, prompts: torch.Tensor, answers: torch.Tensor) -> Experience:
    """Prompts, and answers within each prompt, in another order."""
    rows = (prompts[:, None] * given.rewards.shape[1] + answers).flatten()
    changes: dict[str, Any] = {
        name: getattr(given, name)[rows]
        for name in (
            "mask",
            "old_logprobs",
            "sampler_logprobs",
            "truncated",
            "reference_logprobs",
            "entropies",
            "values",
        )
    }
    assert given.greedy_rewards is not None
    return replace(
        given, rewards=given.rewards[prompts][:, answers], greedy_rewards=given.greedy_rewards[prompts], **changes
    )


@few
@given(table=TABLES, shift=st.floats(-3, 3))
def test_a_constant_added_to_a_reward_changes_no_advantage(table: np.ndarray, shift: float) -> None:
    before = experience(torch.from_numpy(table))
    assert before.greedy_rewards is not None
    after = replace(before, rewards=before.rewards + shift, greedy_rewards=before.greedy_rewards + shift)
    for name in sorted(set(RECIPES) - WITH_CRITIC - {"unlikeliness"}):
        first, second = prepared(RECIPES[name], before), prepared(RECIPES[name], after)
        assert torch.allclose(first.advantages, second.advantages, atol=2e-5), name


@few
@given(table=TABLES, scale=st.floats(0.5, 4))
def test_scaling_a_reward_changes_advantages_as_its_recipe_says(table: np.ndarray, scale: float) -> None:
    before = experience(torch.from_numpy(table))
    after = replace(before, rewards=before.rewards * scale)
    for name in sorted(set(RECIPES) - WITH_CRITIC - BY_KL - ADDING - NOT_SCALED):
        first, second = prepared(RECIPES[name], before), prepared(RECIPES[name], after)
        assert torch.allclose(first.advantages, second.advantages, atol=2e-5), name
    first, second = prepared(RECIPES["dr_grpo"], before), prepared(RECIPES["dr_grpo"], after)
    assert torch.allclose(first.advantages * scale, second.advantages, atol=1e-9)


@few
@given(table=TABLES, prompts=st.permutations(range(2)), answers=st.permutations(range(4)))
def test_order_does_not_matter(table: np.ndarray, prompts: list[int], answers: list[int]) -> None:
    before = experience(torch.from_numpy(table))
    after = reordered(before, torch.tensor(prompts), torch.tensor(answers))
    for name in sorted(set(RECIPES) - {"clip_cov"}):  # which token is drawn depends on the order
        assert torch.allclose(loss(RECIPES[name], before), loss(RECIPES[name], after), atol=1e-9), name


def test_padding_changes_nothing(recipe: Recipe) -> None:
    table = torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 30
    assert loss(recipe, experience(table)).item() == pytest.approx(
        loss(recipe, experience(table, padding=3)).item(), abs=1e-12
    )


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_micro_batches_add_up(recipe: Recipe, cut: int) -> None:
    given = experience(torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert given.entropies is not None
    assert given.values is not None
    new = moved(given).requires_grad_()
    loss(recipe, given, new).backward()
    whole, new.grad = new.grad, None
    targets = prepared(recipe, given)
    total = 0.0
    for start in range(0, 8, cut):
        rows = slice(start, start + cut)
        part = recipe.loss(
            new[rows],
            targets.rows(rows),
            TOTALS,
            beta=0.1,
            entropies=given.entropies[rows],
            values=given.values[rows] + 0.1,
        ).loss
        part.backward()
        total += part.item()
    assert total == pytest.approx(loss(recipe, given).item(), abs=1e-12)
    assert whole is not None
    assert new.grad is not None
    assert torch.allclose(whole, new.grad, atol=1e-12)


def test_a_row_without_tokens_takes_no_part(recipe: Recipe) -> None:
    given = experience(torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    mask = given.mask.clone()
    mask[2] = 0
    empty = replace(given, mask=mask)
    new = moved(empty).requires_grad_()
    found = loss(recipe, empty, new)
    found.backward()
    assert found.isfinite()
    assert new.grad is not None
    assert new.grad.isfinite().all()
    assert new.grad[2].abs().max() == 0
    nothing = replace(given, mask=torch.zeros_like(mask))
    assert loss(recipe, nothing).item() == 0


def test_a_group_of_one_teaches_nothing_where_groups_are_compared(recipe: Recipe) -> None:
    given = experience(torch.rand((4, 1, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    advantages = prepared(recipe, given).advantages
    assert advantages.isfinite().all()
    if recipe.name not in UNGROUPED:
        assert advantages.abs().max() == 0


def test_rewards_all_alike_teach_nothing_where_groups_are_compared(recipe: Recipe) -> None:
    given = experience(torch.full((2, 4, 2), 0.7, dtype=torch.float64))
    advantages = prepared(recipe, given).advantages
    assert advantages.isfinite().all()
    if recipe.name not in WITH_CRITIC | BY_KL | ADDING | {"unlikeliness", "remax"}:
        assert advantages.abs().max() < 1e-6


def test_an_answer_without_rewards_has_no_advantage(recipe: Recipe) -> None:
    table = torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    table[0, 1] = torch.nan
    targets = prepared(recipe, experience(table))
    assert targets.advantages.isfinite().all()
    assert loss(recipe, experience(table)).isfinite()
    if recipe.name not in WITH_CRITIC | BY_KL | ADDING | UNGROUPED | {"reinforce_pp_baseline"}:
        assert targets.advantages[1].abs().max() < 1e-12
    others = [value for name, value in targets.diagnostics.items() if name.split("/")[1] in "ab"]
    assert all(value.isfinite() for value in others)


def test_single_precision_is_enough(recipe: Recipe) -> None:
    table = torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    double = experience(table)
    single = replace(
        double,
        **{
            name: getattr(double, name).float()
            for name in ("rewards", "noise", "old_logprobs", "sampler_logprobs", "reference_logprobs", "entropies")
        },
        values=double.values.float() if double.values is not None else None,
        greedy_rewards=double.greedy_rewards.float() if double.greedy_rewards is not None else None,
    )
    found = loss(recipe, single)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(recipe, double).item(), rel=1e-4, abs=1e-5)


def test_a_recipe_needs_no_more_than_it_says(recipe: Recipe) -> None:
    given = experience(torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    fields = {
        "reference": "reference_logprobs",
        "entropies": "entropies",
        "values": "values",
        "greedy": "greedy_rewards",
    }
    bare = replace(given, **{field: None for need, field in fields.items() if need not in recipe.needs})
    targets = recipe.prepare(bare, WEIGHTS)
    same = prepared(recipe, given)
    assert torch.equal(targets.advantages, same.advantages)
    found = recipe.loss(moved(given), targets, TOTALS, beta=0.1, entropies=bare.entropies, values=bare.values)
    assert found.loss.isfinite()
    for need in recipe.needs & {"entropies", "values", "greedy"}:
        with pytest.raises((TypeError, AttributeError, RuntimeError)):
            recipe.loss(moved(given), recipe.prepare(replace(given, **{fields[need]: None}), WEIGHTS), TOTALS, beta=0.1)


def test_old_log_probabilities_may_come_with_the_update(recipe: Recipe) -> None:
    given = experience(torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    late = prepared(recipe, replace(given, old_logprobs=given.sampler_logprobs))
    renewed = recipe.with_old(late, given.old_logprobs, given.sampler_logprobs)
    early = prepared(recipe, given)
    assert torch.equal(renewed.weights, early.weights)
    assert torch.equal(renewed.old_logprobs, early.old_logprobs)
    if "old" not in recipe.needs:
        assert torch.equal(renewed.advantages, early.advantages)


def test_the_experience_is_left_as_it_was(recipe: Recipe) -> None:
    given = experience(torch.rand((2, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    before = {name: value.clone() for name, value in vars(given).items() if isinstance(value, torch.Tensor)}
    loss(recipe, given)
    assert all(torch.equal(before[name], getattr(given, name)) for name in before)
