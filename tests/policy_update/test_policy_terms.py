"""The clipped surrogate: values, and where the gradient is and is not."""

import math

import pytest
import torch

from policy_update.policy_terms import clip_fraction, clipped, truncated_importance


def term(ratio: float, advantage: float) -> tuple[float, float]:
    """Loss and its derivative by the new log-probability, at one token."""
    new = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    loss = clipped(
        new, torch.zeros(1, 1, dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64), low=0.2, high=0.28
    )
    loss.sum().backward()
    assert new.grad is not None
    return float(loss.detach()), float(new.grad)


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
    value, gradient = term(ratio, advantage)
    assert value == pytest.approx(loss)
    assert gradient == pytest.approx(slope)


def test_clip_fraction_counts_only_tokens_whose_gradient_went() -> None:
    new = torch.log(torch.tensor([[1.5, 0.5], [1.5, 0.5]]))
    share = clip_fraction(new, torch.zeros(2, 2), torch.tensor([1.0, -1.0]), torch.ones(2, 2), low=0.2, high=0.28)
    assert share == pytest.approx(0.5)


def test_truncated_importance_is_capped_and_detached() -> None:
    old = torch.tensor([[math.log(6.0), math.log(0.5)]], requires_grad=True)
    weight = truncated_importance(old, torch.zeros(1, 2), cap=2.0)
    assert weight.tolist()[0] == pytest.approx([2.0, 0.5])
    assert not weight.requires_grad
