"""Advantages against hand-computed values, numpy as an oracle, and invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from policy_update import advantages

NO_NOISE = torch.zeros(1, dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)


def rewards(*groups: list[float]) -> torch.Tensor:
    return torch.tensor(groups, dtype=torch.float64)[..., None]


def test_group_normalized_by_hand() -> None:
    # Group 1, 2, 3: mean 2, population variance 2/3, so z = -1.2247, 0, 1.2247.
    z = advantages.group_normalized(rewards([1, 2, 3]), NO_NOISE)[0, :, 0]
    assert z.tolist() == pytest.approx([-1.224744, 0.0, 1.224744], abs=1e-5)


def test_noise_floor_tames_a_spread_that_is_only_noise() -> None:
    # Spread 0.01 under noise 0.1: sqrt(1e-4 + 1e-2) = 0.100499, z = +-0.0995 instead of +-1.
    z = advantages.group_normalized(rewards([0.49, 0.51]), torch.tensor([0.1], dtype=torch.float64))
    assert z.flatten().tolist() == pytest.approx([-0.0995037, 0.0995037], abs=1e-6)


def test_constant_group_gives_zero() -> None:
    assert advantages.group_normalized(rewards([0.7, 0.7, 0.7]), NO_NOISE).abs().max() < 1e-6  # rounding of the mean


def test_missing_rewards_take_no_part() -> None:
    z = advantages.group_normalized(rewards([1.0, float("nan"), 3.0]), NO_NOISE)[0, :, 0]
    assert z.tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-5)


def test_a_lone_reward_says_nothing() -> None:
    z = advantages.group_normalized(rewards([1.0, float("nan"), float("nan")]), NO_NOISE)
    assert z.abs().max() == 0


def test_normalize_then_sum_keeps_weights_whatever_the_scale() -> None:
    # Two objectives that disagree exactly; the second has a hundred times the scale. Equal weights must cancel.
    table = torch.tensor([[[0.0, 100.0], [1.0, 0.0]]], dtype=torch.float64)
    equal = advantages.normalize_then_sum(
        table, torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    )
    assert equal.abs().max() < 1e-4
    scalarised = advantages.sum_then_normalize(
        table, torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    )
    assert scalarised[0, 0] > 0.9  # the big scale wins: why GDPO is the default


def test_leave_one_out_by_hand() -> None:
    # r = 1, 2, 6: the others' means are 4, 3.5, 1.5.
    a = advantages.leave_one_out(rewards([1, 2, 6]), ONE, NO_NOISE)
    assert a.flatten().tolist() == pytest.approx([-3.0, -1.5, 4.5])


def test_center_only_by_hand() -> None:
    assert advantages.center_only(rewards([1, 2, 6]), ONE, NO_NOISE).flatten().tolist() == pytest.approx([-2, -1, 3])


def test_whiten() -> None:
    a = torch.tensor([[3.0, -3.0], [1.0, -1.0]])
    assert advantages.whiten(a).std(unbiased=False) == pytest.approx(1.0)
    assert advantages.whiten(torch.zeros(2, 2)).abs().max() == 0


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (3, 4, 2), elements=st.floats(-5, 5)), st.floats(0.1, 10), st.floats(-3, 3))
def test_positive_affine_changes_of_a_reward_change_nothing(values: np.ndarray, scale: float, shift: float) -> None:
    noise, weights = torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64)
    # Spreads near the numerical floor are exempt: there the floor, not the objective, decides.
    table = torch.from_numpy(values)
    spreads = table.std(1, unbiased=False)
    table = torch.where((spreads > 1e-3)[:, None, :], table, torch.zeros_like(table))
    before = advantages.normalize_then_sum(table, weights, noise)
    after = advantages.normalize_then_sum(table * scale + shift, weights, noise)
    assert torch.allclose(before, after, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (2, 5, 1), elements=st.floats(-5, 5)))
def test_advantages_of_a_group_sum_to_zero(values: np.ndarray) -> None:
    for name in ("normalize_then_sum", "sum_then_normalize", "center_only", "leave_one_out"):
        a = getattr(advantages, name)(torch.from_numpy(values), ONE, NO_NOISE)
        assert a.sum(1).abs().max() < 1e-6, name


def test_effective_shares_sum_to_one_and_name_the_dead_objective() -> None:
    table = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]], dtype=torch.float64)
    shares = advantages.effective_shares(table, torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    assert shares.tolist() == pytest.approx([1.0, 0.0])


def test_scalar_covariance_sign() -> None:
    table = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    covariance = advantages.scalar_covariance(
        table, torch.tensor([3.0, 1.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    )
    assert covariance[0] > 0 > covariance[1]
