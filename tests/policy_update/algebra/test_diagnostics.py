"""What is watched of each objective."""

import pytest
import torch

from policy_update.algebra import diagnostics, estimators, scalarization
from tests.policy_update.algebra.helpers import shaped


def figures(table: torch.Tensor, weights: list[float]) -> dict[str, float]:
    given = shaped(table, weights)
    advantages, parts = scalarization.each_then_sum(
        given, lambda one: estimators.group_normalized(one.rewards, one.noise)
    )
    return {name: float(value) for name, value in diagnostics.of_objectives(given, advantages, parts).items()}


def test_shares_name_the_dead_objective() -> None:
    found = figures(torch.tensor([[[0.0, 0.5], [1.0, 0.5]]], dtype=torch.float64), [1.0, 1.0])
    assert found["share/a"] == pytest.approx(1.0)
    assert found["share/b"] == pytest.approx(0.0)
    assert found["mean/a"] == found["mean/b"] == 0.5
    assert found["spread/a"] == pytest.approx(0.5)


def test_covariance_says_which_objective_is_sold() -> None:
    found = figures(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64), [3.0, 1.0])
    assert found["covariance/a"] == pytest.approx(2.0, abs=1e-4)  # z = -1, 1, the advantage twice that
    assert found["covariance/b"] == pytest.approx(-2.0, abs=1e-4)


def test_missing_rewards_take_no_part() -> None:
    found = figures(torch.tensor([[[0.0], [torch.nan], [2.0]]], dtype=torch.float64), [1.0])
    assert found["mean/a"] == 1.0
    assert found["spread/a"] == pytest.approx(1.0)


def test_gradient_removed() -> None:
    gradient = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    advantages = torch.tensor([[1.0, 1.0, 0.0, 1.0]])
    assert float(diagnostics.gradient_removed(gradient, advantages, torch.tensor([[1, 1, 1, 0]]))) == 1.0
