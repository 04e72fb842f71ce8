"""Ratios of whole answers: values and gradients by hand, and padding."""

import math

import pytest
import torch

from policy_update.algebra import sequence_terms

MASK = torch.tensor([[1, 1, 0]])
OLD = torch.zeros(1, 3, dtype=torch.float64)


def new(*ratios: float) -> torch.Tensor:
    return torch.tensor([[math.log(ratio) for ratio in (*ratios, 7.0)]], dtype=torch.float64, requires_grad=True)


def advantage(value: float) -> torch.Tensor:
    return torch.full((1, 3), value, dtype=torch.float64)


def slope(loss: torch.Tensor, wanted: torch.Tensor) -> list[float]:
    """Gradient of the mean over real tokens."""
    return torch.autograd.grad((loss * MASK).sum() / 2, wanted)[0][0].tolist()


def test_product_of_ratios() -> None:
    inside = new(1.2, 0.9)  # 1.08
    loss = sequence_terms.sequence_clipped(inside, OLD, advantage(2.0), MASK)
    assert loss.tolist()[0] == pytest.approx([-2.16] * 3)
    assert slope(loss, inside) == pytest.approx([-2.16, -2.16, 0])  # the product rule: the whole ratio at every token
    outside = new(1.2, 1.2)  # 1.44, clipped to 1.2
    loss = sequence_terms.sequence_clipped(outside, OLD, advantage(2.0), MASK)
    assert loss.tolist()[0] == pytest.approx([-2.4] * 3)
    assert slope(loss, outside) == [0, 0, 0]


def test_geometric_mean_of_ratios() -> None:
    inside = new(1.21, 1.0)  # 1.1
    loss = sequence_terms.geometric_clipped(inside, OLD, advantage(2.0), MASK, clip_low=0.2, clip_high=0.2)
    assert loss.tolist()[0] == pytest.approx([-2.2] * 3)
    assert slope(loss, inside) == pytest.approx([-1.1, -1.1, 0])
    loss = sequence_terms.geometric_clipped(inside, OLD, advantage(2.0), MASK)
    assert loss.tolist()[0] == pytest.approx([-2 * 1.0004] * 3)
    assert slope(loss, inside) == [0, 0, 0]


def test_gspo_by_token_has_its_value_and_each_tokens_own_gradient() -> None:
    inside = new(1.21, 1.0)
    uneven = torch.tensor([[2.0, -4.0, 0.0]], dtype=torch.float64)
    loss = sequence_terms.geometric_by_token(inside, OLD, uneven, MASK, clip_low=0.2, clip_high=0.2)
    assert loss.tolist()[0] == pytest.approx([-2.2, 4.4, 0.0])
    assert slope(loss, inside) == pytest.approx([-1.1, 2.2, 0])


def test_gspo_by_token_equals_gspo_where_advantages_are_even() -> None:
    """The paper's claim (section 4.3): the same value, and the same gradient."""
    one, other = new(1.3, 0.8), new(1.3, 0.8)
    first = sequence_terms.geometric_clipped(one, OLD, advantage(-2.0), MASK, clip_low=0.2, clip_high=0.2)
    second = sequence_terms.geometric_by_token(other, OLD, advantage(-2.0), MASK, clip_low=0.2, clip_high=0.2)
    assert (first * MASK).tolist()[0] == pytest.approx((second * MASK).tolist()[0])
    assert slope(first, one) == pytest.approx(slope(second, other))


def test_geometric_mean_of_clipped_ratios() -> None:
    # Up: log 2 is held at 0.4, log 0.5 is left: exp((0.4 - 0.6931) / 2). Down: the other way round.
    ratios = new(2.0, 0.5)
    up = sequence_terms.geometric_of_clipped(ratios, OLD, advantage(1.0), MASK)
    assert up.tolist()[0] == pytest.approx([-math.exp((0.4 - math.log(2)) / 2)] * 3)
    assert slope(up, ratios) == pytest.approx([0, -math.exp((0.4 - math.log(2)) / 2) / 2, 0])
    down = sequence_terms.geometric_of_clipped(ratios, OLD, advantage(-1.0), MASK)
    assert down.tolist()[0] == pytest.approx([math.exp((math.log(2) - 0.4) / 2)] * 3)
    assert slope(down, ratios) == pytest.approx([math.exp((math.log(2) - 0.4) / 2) / 2, 0, 0])
