"""Policy terms: values, and where the gradient is and is not."""

import math
from collections.abc import Callable

import pytest
import torch

from policy_update.algebra import policy_terms


def at_one_token(function: Callable[..., torch.Tensor], ratio: float, advantage: float) -> tuple[float, float]:
    """Loss and its derivative by the new log-probability, at one token whose old log-probability is 0."""
    new = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    loss = function(new, torch.zeros_like(new), torch.tensor([[advantage]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss.sum(), new)
    return float(loss.detach()), float(gradient)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on policy: -A, gradient -A
        (1.1, 2.0, -2.2, -2.2),  # inside the clip
        (1.5, 2.0, -2.56, 0.0),  # above 1.28 with A > 0: clipped, no gradient
        (0.5, 2.0, -1.0, -1.0),  # below 0.8 with A > 0: the minimum keeps the unclipped branch
        (0.5, -2.0, 1.6, 0.0),  # below 0.8 with A < 0: clipped
        (1.5, -2.0, 3.0, 3.0),  # above with A < 0: unclipped
    ],
)
def test_clipped_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    value, gradient = at_one_token(
        lambda new, old, a: policy_terms.clipped(new, old, a, clip_low=0.2, clip_high=0.28), ratio, advantage
    )
    assert value == pytest.approx(loss)
    assert gradient == pytest.approx(slope)


def test_score_by_hand() -> None:
    new = torch.tensor([[-2.0]], dtype=torch.float64, requires_grad=True)
    loss = policy_terms.score(new, torch.tensor([[3.0]], dtype=torch.float64))
    assert float(loss.detach()) == 6.0
    assert float(torch.autograd.grad(loss.sum(), new)[0]) == -3.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.4, 0.0),  # as PPO for good tokens
        (2.0, -2.0, 4.0, 4.0),
        (5.0, -2.0, 6.0, 0.0),  # a bad token: its loss ends at 3 |A|
    ],
)
def test_dual_clipped_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    assert at_one_token(policy_terms.dual_clipped, ratio, advantage) == pytest.approx((loss, slope))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.56, -2.56),  # clipped in value, and the gradient of the bound 1.28
        (0.5, -2.0, 1.6, 1.6),  # the same at 0.8
        (0.5, 2.0, -1.0, -1.0),
        (1.5, -2.0, 3.0, 3.0),
    ],
)
def test_gradient_preserving_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    assert at_one_token(policy_terms.gradient_preserving, ratio, advantage) == pytest.approx((loss, slope))


@pytest.mark.parametrize(("ratio", "weight"), [(0.1, 0.1), (2.0, 2.0), (9.0, 5.0)])
def test_weighted_score_by_hand(ratio: float, weight: float) -> None:
    found = at_one_token(policy_terms.weighted_score, ratio, 2.0)
    assert found == pytest.approx((-2 * weight * math.log(ratio), -2 * weight))


def test_covariance_terms_by_hand() -> None:
    new = torch.tensor([[math.log(1.5), math.log(1.5)]], dtype=torch.float64, requires_grad=True)
    old, advantages = torch.zeros_like(new), torch.full_like(new, 2.0)
    chosen = torch.tensor([[True, False]])
    clipped = policy_terms.clipped_by_covariance(new, old, advantages, chosen, clip_high=0.6)
    assert clipped.tolist()[0] == pytest.approx([0.0, -3.0])
    held = policy_terms.held_by_covariance(new, old, advantages, chosen, kl_weight=0.5)
    assert held.tolist()[0] == pytest.approx([-3.0 + 0.5 * math.log(1.5), -3.0])
    assert torch.autograd.grad(held.sum(), new)[0].tolist()[0] == pytest.approx([-2.5, -3.0])
