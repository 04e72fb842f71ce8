"""Estimators against hand-computed values, torch one-liners as oracles, and invariances."""

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
