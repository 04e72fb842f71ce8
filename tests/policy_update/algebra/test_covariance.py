"""Which tokens a covariance rule picks."""

import pytest
import torch

from policy_update.algebra import covariance

# Advantages 3, 3; -3, -3 (mean 0), log-probabilities -1, -5; -3, -3 (mean -3): covariances 6, -6; 0, 0.
ADVANTAGES = torch.tensor([[3.0, 3.0, 0.0], [-3.0, -3.0, 0.0]], dtype=torch.float64)
OLD = torch.tensor([[-1.0, -5.0, 0.0], [-3.0, -3.0, 0.0]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 0], [1, 1, 0]])


def test_covariance_by_hand() -> None:
    assert covariance.token_covariance(ADVANTAGES, OLD, MASK).tolist() == [[6, -6, 0], [0, 0, 0]]


def test_the_largest_are_chosen_and_at_least_one() -> None:
    assert covariance.largest(ADVANTAGES, OLD, MASK).tolist() == [[True, False, False], [False, False, False]]
    three = covariance.largest(ADVANTAGES, OLD, MASK, kl_rate=0.75)
    assert three.tolist() == [[True, False, False], [True, True, False]]
    assert covariance.largest(ADVANTAGES, OLD, torch.zeros_like(MASK)).sum() == 0


def test_only_tokens_in_the_band_are_drawn() -> None:
    assert covariance.random_in_band(ADVANTAGES, OLD, MASK).sum() == 0  # 6 lies above the band
    wide = covariance.random_in_band(ADVANTAGES, OLD, MASK, cov_high=7.0)
    assert wide.tolist() == [[True, False, False], [False, False, False]]
    both = covariance.random_in_band(ADVANTAGES, OLD, MASK, clip_rate=1.0, cov_low=-7.0, cov_high=7.0)
    assert torch.equal(both, MASK.bool())


def test_draws_are_even_and_repeatable() -> None:
    generator = torch.Generator().manual_seed(3)
    old = -torch.rand((200, 20), dtype=torch.float64, generator=generator)
    advantages = torch.randn((200, 1), dtype=torch.float64, generator=generator).expand(200, 20)
    mask = torch.ones(200, 20, dtype=torch.int64)
    chosen = covariance.random_in_band(advantages, old, mask, clip_rate=0.1, cov_low=-9, cov_high=9)
    assert chosen.sum() == 400
    assert chosen.sum(1).float().std() > 0.5  # not row by row
    assert chosen[:100].sum().item() == pytest.approx(200, abs=40)
    assert torch.equal(chosen, covariance.random_in_band(advantages, old, mask, clip_rate=0.1, cov_low=-9, cov_high=9))


def test_another_step_draws_other_places() -> None:
    generator = torch.Generator().manual_seed(4)
    mask, advantages = torch.ones(40, 20, dtype=torch.int64), torch.linspace(-1, 1, 40).double()[:, None].expand(40, 20)
    first, second = (-torch.rand((40, 20), dtype=torch.float64, generator=generator) for _ in range(2))
    places = [
        covariance.random_in_band(advantages, old, mask, clip_rate=0.1, cov_low=-9, cov_high=9)
        for old in (first, second)
    ]
    shared = (places[0] & places[1]).sum().item()
    assert shared < 25, "two independent draws of 80 among 800 share about 8"
