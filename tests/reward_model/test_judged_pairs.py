"""Judgments become rows of a loss: both orders for Bradley-Terry, the favoured side and its flip rate for the joint."""

import numpy as np
import pytest
import torch

from reward_model.judged_pairs import judged_pairs
from reward_model.judgments import InvalidJudgments
from reward_model.rater_noise import fit_raters

ROWS = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.0], [1.0, 2.0]], dtype=torch.float64)
"""One pair judged three times, once the other way round, and another."""


def columns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([1.0, 0.5, 2.0, 1.0]), np.array([7, 7, 8, 7]), np.array([10.0, 30.0, 20.0, 20.0])


def test_repeated_rows_become_one_pair_with_its_newest_time() -> None:
    made = judged_pairs(ROWS, *columns())
    assert made.judgments.pairs == 2
    assert made.judgments.says.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert made.weights.tolist() == [1.0, 2.0]
    assert made.judgments.weight.tolist() == [1.0, 0.5, 1.0, 1.0]
    assert made.times.tolist() == [30.0, 20.0]
    assert made.groups.tolist() == [7, 8]


def test_bradley_terry_sees_every_vote() -> None:
    both = judged_pairs(ROWS, *columns()).both_orders()
    assert both.weights.tolist() == [2.0, 2.0, 0.5]
    assert both.differences.tolist() == [[1.0, 2.0], [0.5, 0.0], [-1.0, -2.0]]
    assert both.by_pair(np.array([3.0, 4.0, -3.0]), 2).tolist() == [3.0, 4.0]


def test_by_head_everybody_weighs_one() -> None:
    made = judged_pairs(ROWS, *columns(), people=["a", "a", "b", "a"])
    both = made.both_orders(by_head=True)
    assert both.weights == pytest.approx([2 / 2.5, 1.0, 0.5 / 2.5])


def test_unrepeated_hard_rows_stand_as_recorded() -> None:
    rows = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = judged_pairs(rows, np.ones(6), np.arange(6), np.arange(6.0))
    assert torch.equal(made.both_orders().differences, rows)
    mixed = made.mixed(0.2)
    assert torch.equal(mixed.differences, rows)
    assert np.allclose(mixed.rates, 0.2)


def test_soft_labels_mix_with_the_rate_and_a_tie_says_nothing() -> None:
    rows = torch.eye(3, dtype=torch.float64)
    made = judged_pairs(rows, np.ones(3), np.arange(3), np.arange(3.0), soft=np.array([0.9, 0.5, 0.2]))
    mixed = made.mixed(0.1)
    assert mixed.rates == pytest.approx([0.18, 0.5, 0.26])
    assert mixed.direction.tolist() == [1.0, 1.0, -1.0]
    rates = mixed.noise(10.0).flip_rate
    assert isinstance(rates, torch.Tensor)
    assert float(rates.max()) < 0.5


def test_the_favoured_side_is_that_of_the_majority_among_equals() -> None:
    made = judged_pairs(ROWS, np.ones(4), *columns()[1:], people=["a", "b", "a", "c"])
    favoured = made.favoured(fit_raters(made.judgments))
    assert favoured.differences.tolist() == [[1.0, 2.0], [0.5, 0.0]]
    assert 0.0 < favoured.rates[0] < 0.5
    assert favoured.of(np.array([False, True])).pair.tolist() == [1]
    assert favoured.reweighted(np.array([2.0, 0.0])).weights.tolist() == [2.0, 0.0]


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidJudgments, match="groups has 3 rows"):
        judged_pairs(ROWS, np.ones(4), np.arange(3), np.arange(4.0))
