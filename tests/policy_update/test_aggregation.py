"""Aggregation: hand values, and micro-batches that change nothing."""

import pytest
import torch

from policy_update.aggregation import sequence_mean, token_mean

LOSS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 9.0]])
MASK = torch.tensor([[1, 1, 1], [1, 0, 0]])


def test_by_hand() -> None:
    assert float(token_mean(LOSS, MASK, 4)) == pytest.approx(10 / 4)
    assert float(sequence_mean(LOSS, MASK, 2)) == pytest.approx((2 + 4) / 2)


def test_micro_batches_add_up() -> None:
    for aggregate, total in ((token_mean, 4.0), (sequence_mean, 2.0)):
        whole = aggregate(LOSS, MASK, total)
        parts = aggregate(LOSS[:1], MASK[:1], total) + aggregate(LOSS[1:], MASK[1:], total)
        assert float(whole) == pytest.approx(float(parts))
