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
