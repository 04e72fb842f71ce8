"""Scaling over the batch."""

import pytest
import torch

from policy_update.algebra import whitening


def test_batch_scaled() -> None:
    a = torch.tensor([[3.0, -3.0], [1.0, -1.0]])
    assert whitening.batch_scaled(a).flatten().tolist() == pytest.approx([x / 5**0.5 for x in (3, -3, 1, -1)])
    assert whitening.batch_scaled(torch.zeros(2, 2)).abs().max() == 0
    assert whitening.as_it_is(a) is a


def test_batch_whitened() -> None:
    # Mean 2, variance (1 + 1 + 9 + 9) / 4 = 5.
    a = torch.tensor([[3.0, 1.0], [5.0, -1.0]])
    assert whitening.batch_whitened(a).flatten().tolist() == pytest.approx([x / 5**0.5 for x in (1, -1, 3, -3)])
    assert whitening.batch_whitened(torch.full((2, 2), 7.0)).abs().max() == 0


def test_token_whitened_looks_at_real_tokens_only() -> None:
    a = torch.tensor([[1.0, 2.0, 99.0], [6.0, 99.0, 99.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    # Mean 3, variance (4 + 1 + 9) / 3.
    spread = (14 / 3) ** 0.5
    assert whitening.token_whitened(a, mask).flatten().tolist() == pytest.approx(
        [-2 / spread, -1 / spread, 0, 3 / spread, 0, 0]
    )
