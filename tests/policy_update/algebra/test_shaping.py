"""Penalties, selection and KL as rewards, by hand."""

import math

import pytest
import torch

from policy_update.algebra import shaping
from tests.policy_update.algebra.helpers import rewards, shaped


def test_soft_overlong_by_hand() -> None:
    # The limit 100 with a fifth as cache: nothing up to 80, half-way -0.5, at and above the limit -1.
    found = shaping.soft_overlong(shaped(rewards([1, 1, 1, 1])), torch.tensor([[70, 80, 90, 101]]), 100)
    assert found.names == ("a", "overlong")
    assert found.rewards[0, :, 1].tolist() == pytest.approx([0, 0, -0.5, -1])
    assert found.weights.tolist() == [1, 1]
    assert found.noise.tolist() == [0, 0]


def test_length_objectives_by_hand() -> None:
    lengths = torch.tensor([[10, 50, 90]])
    exact = shaping.length_exact(shaped(rewards([0, 0, 0])), lengths, 100, target_share=0.5, length_weight=2)
    assert exact.rewards[0, :, 1].tolist() == pytest.approx([-0.4, 0, -0.4])
    assert exact.weights.tolist() == [1, 2]
    most = shaping.length_at_most(shaped(rewards([0, 0, 0])), lengths, 100, target_share=0.5)
    assert most.rewards[0, :, 1].tolist() == pytest.approx([0.7, 0.5, 0.3])


def test_the_greedy_answer_of_an_added_objective_is_zero() -> None:
    given = shaped(rewards([1, 2]), greedy=torch.tensor([[5.0]], dtype=torch.float64))
    found = shaping.length_exact(given, torch.tensor([[1, 2]]), 4)
    assert found.greedy is not None
    assert found.greedy.tolist() == [[5, 0]]


def test_unlikely_first_by_hand() -> None:
    # Mean log-probabilities -2, -1, -3: ranks 1, 2, 0. Rewards lose 1/12, 2/12, 0 of their size.
    old = torch.tensor([[-2.0, 0.0], [-1.0, -1.0], [-3.0, -3.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 0], [1, 1], [1, 1]])
    found = shaping.unlikely_first(shaped(rewards([1, 1, 1])), old, mask)
    assert found.rewards.flatten().tolist() == pytest.approx([11 / 12, 10 / 12, 1])
    below = shaping.unlikely_first(shaped(rewards([-1, -1, -1])), old, mask)
    assert below.rewards.flatten().tolist() == pytest.approx([-13 / 12, -14 / 12, -1])


def test_divergence_as_a_reward_by_hand() -> None:
    old = torch.tensor([[-1.0, -1.0], [-1.0, 0.0]], dtype=torch.float64)
    reference = torch.tensor([[-2.0, -1.5], [-0.5, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 0]])
    table = rewards([1, 2])
    k1 = shaping.k1_in_reward(shaped(table), old, reference, mask, reward_kl=0.1)
    assert k1.rewards[0, :, 1].tolist() == pytest.approx([-1.5, 0.5])
    assert k1.weights.tolist() == pytest.approx([1, 0.1])
    k2 = shaping.k2_in_reward(shaped(table), old, reference, mask)
    assert k2.rewards[0, :, 1].tolist() == pytest.approx([-(1 + 0.25) / 2, -0.125])
    k3 = shaping.k3_in_reward(shaped(table), old, reference, mask)
    expected = [-(math.exp(-1) + 1 - 1 + math.exp(-0.5) + 0.5 - 1), -(math.exp(0.5) - 0.5 - 1)]
    assert k3.rewards[0, :, 1].tolist() == pytest.approx(expected)


def test_the_shortest_are_kept() -> None:
    found = shaping.keep_shortest(shaped(rewards([1, 2, 3, 4])), torch.tensor([[7, 2, 9, 3]]))
    assert found.rewards.flatten().isnan().tolist() == [True, False, True, False]
    # Ties with the last one kept stay, and two remain of however small a share.
    tied = shaping.keep_shortest(shaped(rewards([1, 2, 3, 4])), torch.tensor([[2, 2, 2, 3]]), kept_share=0.1)
    assert tied.rewards.flatten().isnan().tolist() == [False, False, False, True]


def test_the_most_rewarded_by_token_are_kept() -> None:
    # 6 / 3, 6 / 2, 1 / 1, 1 / 4 a token.
    found = shaping.keep_efficient(shaped(rewards([6, 6, 1, 1])), torch.tensor([[3, 2, 1, 4]]))
    assert found.rewards.flatten().isnan().tolist() == [False, False, True, True]


def test_a_saturated_objective_drops_out() -> None:
    table = torch.tensor([[[0.0, 0.5], [1.0, 0.5]], [[0.0, 0.9], [1.0, 0.9]]], dtype=torch.float64)
    assert shaping.drop_saturated(shaped(table)).weights.tolist() == [1, 0]
    # A spread of 0.5 under noise 1: kept, unless a spread below the noise is called saturated.
    noisy = shaped(table, noise=[1.0, 0.0])
    assert shaping.drop_saturated(noisy).weights.tolist() == [1, 0]
    assert shaping.drop_saturated(noisy, saturation=1.0).weights.tolist() == [0, 0]
