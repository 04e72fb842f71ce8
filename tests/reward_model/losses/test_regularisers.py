"""Penalties on the level: by hand, and what they may not change."""

import pytest
import torch

from reward_model.losses import REGULARISERS, InvalidLoss, batch_sum, centring, regulariser

UP, DOWN = torch.tensor([3.0, -1.0]).double(), torch.tensor([1.0, 2.0]).double()


def test_by_hand() -> None:
    """Sums 4 and 1: .1 * (16 + 1) / 2. Mean of all four 5/4: .1 * 2 * 25/16."""
    assert float(centring(UP, DOWN, 0.1)) == pytest.approx(0.85)
    assert float(batch_sum(UP, DOWN, 0.1)) == pytest.approx(0.3125)


@pytest.mark.parametrize("name", sorted(REGULARISERS))
def test_gradient_swap_level_and_emptiness(name: str) -> None:
    penalty = regulariser(name)
    first, second = UP.clone().requires_grad_(True), DOWN.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a, b: penalty(a, b, 0.1), (first, second))
    assert float(penalty(UP, DOWN, 0.1)) == float(penalty(DOWN, UP, 0.1))
    assert float(penalty(UP, -UP, 0.1)) == 0.0
    assert float(penalty(UP + 5.0, DOWN + 5.0, 0.1)) > float(penalty(UP, DOWN, 0.1))
    empty = torch.zeros(0, requires_grad=True)
    none = penalty(empty, empty, 0.1)
    none.backward()
    assert float(none.detach()) == 0.0


def test_a_batch_that_balances_costs_nothing_but_pairs_off_zero_do() -> None:
    high, low = torch.tensor([5.0, -5.0]).double(), torch.tensor([5.0, -5.0]).double()
    assert float(batch_sum(high, low, 1.0)) == 0.0
    assert float(centring(high, low, 1.0)) == 100.0


def test_an_unknown_name() -> None:
    with pytest.raises(InvalidLoss, match="known: batch_sum, centring"):
        regulariser("center")
