"""Several objectives to one advantage: what each order does with scales, missing rewards and limits."""

import torch

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
