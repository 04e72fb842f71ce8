"""Aggregation: hand values, and micro-batches that change nothing."""

import pytest
import torch

from policy_update.algebra.aggregation import constant_length, sequence_mean, sequence_sum, token_mean
from policy_update.algebra.experience import Totals

LOSS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 9.0]])
MASK = torch.tensor([[1, 1, 1], [1, 0, 0]])
TOTALS = Totals(4.0, 2.0, 5)


def test_by_hand() -> None:
    assert float(token_mean(LOSS, MASK, TOTALS)) == pytest.approx(10 / 4)
    assert float(sequence_mean(LOSS, MASK, TOTALS)) == pytest.approx((2 + 4) / 2)
    assert float(constant_length(LOSS, MASK, TOTALS)) == pytest.approx(10 / (2 * 5))


def test_micro_batches_add_up() -> None:
    for aggregate in (token_mean, sequence_mean, constant_length, sequence_sum):
        whole = aggregate(LOSS, MASK, TOTALS)
        parts = aggregate(LOSS[:1], MASK[:1], TOTALS) + aggregate(LOSS[1:], MASK[1:], TOTALS)
        assert float(whole) == pytest.approx(float(parts))


def test_sum_by_answer_by_hand() -> None:
    assert float(sequence_sum(LOSS, MASK, TOTALS)) == pytest.approx(10 / 2)
