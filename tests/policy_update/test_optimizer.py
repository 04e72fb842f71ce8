"""fp32 masters: small steps survive bf16, odd gradients do no harm."""

import math

import pytest
import torch

from policy_update.optimizer import MasterAdamW


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))


def test_small_steps_are_not_rounded_away() -> None:
    weight = parameter()
    optimizer = MasterAdamW([weight], 1e-4)
    for _ in range(60):
        weight.grad = torch.ones_like(weight)
        optimizer.step(1e-4)
    # 60 steps of 1e-4: each alone is below bf16's resolution at 1 (2^-8), together they are above it.
    assert float(optimizer.masters[0][0].detach()) == pytest.approx(1 - 60e-4, abs=1e-4)
    assert float(weight[0].detach()) < 1


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    weight = parameter()
    optimizer = MasterAdamW([weight], 1e-2)
    weight.grad = torch.full_like(weight, float("nan"))
    assert math.isnan(optimizer.step(1e-2))
    assert float(optimizer.distance_trained()) == 0
    assert weight.tolist() == [1.0] * 4


def test_missing_gradients_count_as_zero() -> None:
    optimizer = MasterAdamW([parameter()], 1e-2)
    assert optimizer.step(1e-2) == 0
    assert float(optimizer.distance_trained()) == 0
