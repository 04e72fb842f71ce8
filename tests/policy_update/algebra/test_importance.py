"""Weights for a sampler whose numbers differ, by hand; none carries a gradient."""

import math

import pytest
import torch

from policy_update.algebra import importance

OLD = torch.tensor([[math.log(6.0), math.log(0.4), math.log(1.5), 0.0]], dtype=torch.float64, requires_grad=True)
SAMPLER = torch.zeros(1, 4, dtype=torch.float64)
MASK = torch.tensor([[1, 1, 1, 0]])


def test_by_token() -> None:
    assert importance.truncated_importance(OLD, SAMPLER).tolist()[0] == pytest.approx([2, 0.4, 1.5, 1])
    assert importance.masked_importance(OLD, SAMPLER).tolist()[0] == pytest.approx([0, 0, 1.5, 1])
    assert importance.unweighted(OLD).tolist() == [[1, 1, 1, 1]]


def test_by_answer() -> None:
    # 6 * 0.4 * 1.5 = 3.6 for the whole answer.
    assert importance.truncated_sequence_importance(OLD, SAMPLER, MASK).tolist()[0] == pytest.approx([2.0] * 4)
    assert importance.masked_sequence_importance(OLD, SAMPLER, MASK).tolist()[0] == [0] * 4
    within = importance.masked_sequence_importance(OLD, SAMPLER, MASK, importance_cap=4.0)
    assert within.tolist()[0] == pytest.approx([3.6] * 4)


def test_no_gradient() -> None:
    assert not importance.truncated_importance(OLD, SAMPLER).requires_grad
    assert not importance.masked_importance(OLD, SAMPLER).requires_grad
    assert not importance.truncated_sequence_importance(OLD, SAMPLER, MASK).requires_grad
    assert not importance.masked_sequence_importance(OLD, SAMPLER, MASK).requires_grad


def test_a_ratio_beyond_all_numbers_is_masked_not_made_nan() -> None:
    """A long answer of the log may be e^200 times as likely as it was: inf * 0 would stop the training."""
    old, sampler, mask = torch.full((1, 2), -1.0), torch.full((1, 2), -101.0), torch.ones(1, 2)
    assert importance.masked_sequence_importance(old, sampler, mask).tolist() == [[0.0, 0.0]]
    assert importance.masked_importance(old, sampler).tolist() == [[0.0, 0.0]]
    assert importance.truncated_sequence_importance(old, sampler, mask).tolist() == [[2.0, 2.0]]
