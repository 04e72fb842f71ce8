"""Several objectives to one advantage: what each order does with scales, missing rewards and limits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from policy_update.algebra import estimators, scalarization
from policy_update.algebra.shaping import Shaped
from tests.policy_update.algebra.helpers import shaped


def normalized(given: Shaped) -> torch.Tensor:
    return estimators.group_normalized(given.rewards, given.noise)


def test_each_then_sum_keeps_weights_whatever_the_scale() -> None:
    # Two objectives that disagree exactly; the second has a hundred times the scale. Equal weights must cancel.
    table = torch.tensor([[[0.0, 100.0], [1.0, 0.0]]], dtype=torch.float64)
    assert scalarization.each_then_sum(shaped(table), normalized)[0].abs().max() < 1e-4
    scalarised = scalarization.sum_then_each(shaped(table), normalized)[0]
    assert scalarised[0, 0] > 0.9  # the big scale wins: why GDPO is the default


def test_sum_then_each_by_hand() -> None:
    # Sums 2 * 1 + 3 = 5 and 2 * 3 + 1 = 7: -1 and 1. Parts are centred: 2 * -1 + 1 and 2 * 1 - 1.
    table = torch.tensor([[[1.0, 3.0], [3.0, 1.0]]], dtype=torch.float64)
    advantages, parts = scalarization.sum_then_each(shaped(table, [2.0, 1.0]), normalized)
    assert advantages.flatten().tolist() == pytest.approx([-1, 1], abs=1e-5)
    assert parts[0].tolist() == [[-2, 1], [2, -1]]


def test_an_objective_without_weight_may_be_missing() -> None:
    table = torch.tensor([[[1.0, torch.nan], [3.0, 1.0]]], dtype=torch.float64)
    alone = scalarization.sum_then_each(shaped(table, [2.0, 0.0]), normalized)[0]
    assert alone.flatten().tolist() == pytest.approx([-1, 1], abs=1e-5)
    both = scalarization.sum_then_each(shaped(table, [2.0, 1.0]), normalized)[0]
    assert both.abs().max() == 0  # one answer is left to compare


def test_a_greedy_reward_that_is_missing_says_nothing_where_it_has_no_weight() -> None:
    table = torch.tensor([[[1.0, torch.nan], [0.0, torch.nan]]], dtype=torch.float64)
    greedy = torch.tensor([[0.25, torch.nan]], dtype=torch.float64)

    def estimate(one: Shaped) -> torch.Tensor:
        assert one.greedy is not None
        return estimators.above_greedy(one.rewards, one.greedy)

    advantages, _ = scalarization.sum_then_each(shaped(table, [1.0, 0.0], greedy=greedy), estimate)
    assert advantages.tolist() == [[0.75, -0.25]]


def test_constrained_by_hand() -> None:
    # Goals z = -1, 1; costs z = -1, 1 at multiplier 0.4: (1 - 0.4) z. The limit's own weight is not looked at.
    table = torch.tensor([[[0.0, 0.0], [1.0, 0.3]]], dtype=torch.float64)
    advantages, parts = scalarization.constrained(shaped(table, [1.0, 9.0]), normalized, {"b": 0.4})
    assert advantages.flatten().tolist() == pytest.approx([-0.6, 0.6], abs=1e-4)
    assert parts[0, 1].tolist() == pytest.approx([1, -0.4], abs=1e-4)


def test_a_multiplier_weighs_the_same_whatever_the_goals_spread() -> None:
    """Why advantages are scalarised: a goal's scale must not price the limit."""
    table = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]], dtype=torch.float64)
    scaled = table * torch.tensor([100.0, 1.0], dtype=torch.float64)
    small = scalarization.constrained(shaped(table), normalized, {"b": 1.0})[0]
    large = scalarization.constrained(shaped(scaled), normalized, {"b": 1.0})[0]
    assert torch.allclose(small, large, atol=1e-4)


def test_feasibility_first_by_hand() -> None:
    # Goals z of 0, 1, 2: -1.2247, 0, 1.2247; the best breaks the limit, the worst too.
    table = torch.tensor([[[0.0, 0.9], [1.0, 0.1], [2.0, 0.9]]], dtype=torch.float64)
    found = scalarization.feasibility_first(shaped(table), normalized, {"b": 0.0})[0]
    assert found.flatten().tolist() == pytest.approx([-1.224744, 0, 0], abs=1e-5)
    lenient = scalarization.feasibility_first(shaped(table), normalized, {"b": 0.0}, violation=0.95)[0]
    assert lenient.flatten().tolist() == pytest.approx([-1.224744, 0, 1.224744], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float64, (2, 4, 3), elements=st.floats(0, 1)))
def test_only_answers_within_the_limits_are_made_likelier(table: np.ndarray) -> None:
    given_ = shaped(torch.from_numpy(table))
    found = scalarization.feasibility_first(given_, normalized, {"c": 0.0})[0]
    assert not (found[given_.rewards[..., 2] > 0.5] > 0).any()


def test_softmin_by_hand() -> None:
    # z = (-1, 1), (1, -1), equal weights, tau 1: both -log((e + 1/e) / 2), centred 0. A third answer decides.
    table = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    assert scalarization.softmin(shaped(table), normalized)[0].abs().max() < 1e-9
    z = torch.tensor([[[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]], dtype=torch.float64)
    found, parts = scalarization.softmin(shaped(z), lambda given: given.rewards)
    uneven = -math.log(math.cosh(1))  # -0.433781; the even answer has 0
    assert found.flatten().tolist() == pytest.approx([uneven / 3, uneven / 3, -2 * uneven / 3])
    # The objective left behind has e / (e + 1/e) of the say.
    assert parts[0, 0].tolist() == pytest.approx([-math.e / (math.e + 1 / math.e), 1 / math.e / (math.e + 1 / math.e)])


def test_softmin_goes_from_the_worst_objective_to_the_mean() -> None:
    table = torch.tensor([[[0.0, 5.0, 2.0], [3.0, 1.0, 2.5], [1.0, 2.0, 8.0], [2.0, 2.0, 2.0]]], dtype=torch.float64)
    given_ = shaped(table, [1.0, 1.0, 2.0])
    z = normalized(given_)

    def at(temperature: float) -> torch.Tensor:
        return scalarization.softmin(given_, normalized, softmin_temperature=temperature)[0]

    def centred(values: torch.Tensor) -> torch.Tensor:
        return values - values.mean(1, keepdim=True)

    assert torch.allclose(at(1e-4), centred(z.min(-1).values), atol=1e-2)
    assert torch.allclose(at(1e4), (z * torch.tensor([0.25, 0.25, 0.5])).sum(-1), atol=1e-3)


def test_softmin_leaves_missing_rewards_out() -> None:
    table = torch.tensor([[[0.0, torch.nan], [1.0, torch.nan], [torch.nan, torch.nan]]], dtype=torch.float64)
    found = scalarization.softmin(shaped(table), normalized)[0]
    assert found.flatten().tolist() == pytest.approx([-1, 1, 0], abs=1e-5)
