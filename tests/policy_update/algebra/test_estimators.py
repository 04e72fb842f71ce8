"""Estimators against hand-computed values, torch one-liners as oracles, and invariances."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from policy_update.algebra import estimators
from tests.policy_update.algebra.helpers import rewards

NO_NOISE = torch.zeros(1, dtype=torch.float64)


def test_group_normalized_by_hand() -> None:
    # Group 1, 2, 3: mean 2, population variance 2/3, so z = -1.2247, 0, 1.2247.
    z = estimators.group_normalized(rewards([1, 2, 3]), NO_NOISE)[0, :, 0]
    assert z.tolist() == pytest.approx([-1.224744, 0.0, 1.224744], abs=1e-5)


def test_noise_floor_tames_a_spread_that_is_only_noise() -> None:
    # Spread 0.01 under noise 0.1: sqrt(1e-4 + 1e-2) = 0.100499, z = +-0.0995 instead of +-1.
    z = estimators.group_normalized(rewards([0.49, 0.51]), torch.tensor([0.1], dtype=torch.float64))
    assert z.flatten().tolist() == pytest.approx([-0.0995037, 0.0995037], abs=1e-6)


def test_constant_group_gives_zero() -> None:
    assert estimators.group_normalized(rewards([0.7, 0.7, 0.7]), NO_NOISE).abs().max() < 1e-6  # rounding of the mean


def test_missing_rewards_take_no_part() -> None:
    z = estimators.group_normalized(rewards([1.0, float("nan"), 3.0]), NO_NOISE)[0, :, 0]
    assert z.tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-5)


def test_a_lone_reward_says_nothing() -> None:
    z = estimators.group_normalized(rewards([1.0, float("nan"), float("nan")]), NO_NOISE)
    assert z.abs().max() == 0


def test_leave_one_out_by_hand() -> None:
    # r = 1, 2, 6: the others' means are 4, 3.5, 1.5.
    a = estimators.leave_one_out(rewards([1, 2, 6]))
    assert a.flatten().tolist() == pytest.approx([-3.0, -1.5, 4.5])
    # With one missing, the others' mean is the one other's reward.
    a = estimators.leave_one_out(rewards([1, float("nan"), 6]))
    assert a.flatten().tolist() == pytest.approx([-5.0, 0.0, 5.0])


def test_centre_only_by_hand() -> None:
    assert estimators.centre_only(rewards([1, 2, 6])).flatten().tolist() == pytest.approx([-2, -1, 3])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (3, 4, 2), elements=st.floats(-5, 5)), st.floats(0.1, 10), st.floats(-3, 3))
def test_positive_affine_changes_of_a_reward_change_nothing(values: np.ndarray, scale: float, shift: float) -> None:
    noise = torch.zeros(2, dtype=torch.float64)
    # Spreads near the numerical floor are exempt: there the floor, not the objective, decides.
    table = torch.from_numpy(values)
    spreads = table.std(1, unbiased=False)
    table = torch.where((spreads > 1e-3)[:, None, :], table, torch.zeros_like(table))
    before = estimators.group_normalized(table, noise)
    after = estimators.group_normalized(table * scale + shift, noise)
    assert torch.allclose(before, after, atol=1e-3)


def test_batch_normalized_by_hand() -> None:
    # Group means 1 and 12; rewards 0, 2, 10, 14 have mean 6.5 and variance (42.25 + 20.25 + 12.25 + 56.25) / 4 = 32.75.
    z = estimators.batch_normalized(rewards([0, 2], [10, 14]), NO_NOISE)
    assert z.flatten().tolist() == pytest.approx([x / 32.75**0.5 for x in (-1, 1, -2, 2)])
    # Noise 4 adds 16 to the variance.
    z = estimators.batch_normalized(rewards([0, 2], [10, 14]), torch.tensor([4.0], dtype=torch.float64))
    assert z.flatten().tolist() == pytest.approx([x / 48.75**0.5 for x in (-1, 1, -2, 2)])


def test_as_given_takes_a_missing_reward_for_average() -> None:
    assert estimators.as_given(rewards([1, float("nan")], [2, 6])).flatten().tolist() == [1, 3, 2, 6]


def test_above_greedy_by_hand() -> None:
    greedy = torch.tensor([[2.0], [5.0]], dtype=torch.float64)
    assert estimators.above_greedy(rewards([1, 3], [5, float("nan")]), greedy).flatten().tolist() == [-1, 1, 0, 0]


def test_best_of_the_group_is_its_lead_over_the_second() -> None:
    found = estimators.best_of_k(rewards([1, 7, 4, 2]), k=4)
    assert found.flatten().tolist() == pytest.approx([0, 3, 0, 0])


def test_best_of_two_by_hand() -> None:
    # Of 1, 2, 4: pairs (1, 2), (1, 4), (2, 4), a third each. 2 adds 2 - 1; 4 adds 4 - 1 and 4 - 2.
    assert estimators.best_of_k(rewards([4, 1, 2]), k=2).flatten().tolist() == pytest.approx([5 / 3, 0, 1 / 3])


def by_enumeration(row: list[float], k: int) -> list[float]:
    """The definition of best_of_k, set by set."""
    present = [i for i, reward in enumerate(row) if reward == reward]
    sets = list(itertools.combinations(present, k))
    return [
        sum(max(row[j] for j in s) - max(row[j] for j in s if j != i) for s in sets if i in s) / max(len(sets), 1)
        for i in range(len(row))
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([float("nan"), 0.0, 0.5, 1.0, 2.0, -3.0]), min_size=2, max_size=7), st.integers(2, 5))
def test_best_of_k_is_what_enumeration_gives(row: list[float], k: int) -> None:
    found = estimators.best_of_k(rewards(row), k=k)
    assert found.flatten().tolist() == pytest.approx(by_enumeration(row, k), abs=1e-9)


def test_pass_at_k_of_verdicts() -> None:
    """For rewards 0 and 1 the sum over answers is C(n - 1, k - 1) / C(n, k) n p: each right answer adds itself to the
    sets without another right one."""
    # Of 5 answers 2 are right; sets of 3 with one right answer alone: C(3, 2) = 3 of C(5, 3) = 10.
    found = estimators.best_of_k(rewards([0, 1, 0, 1, 0]), k=3)
    assert found.flatten().tolist() == pytest.approx([0, 0.3, 0, 0.3, 0])
