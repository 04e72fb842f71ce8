"""Advantages against TRL 1.16, which computes them in the midst of its sampling method: its `nanstd` is called, the one
line around it is written out from there."""

import pytest
import torch
from torch import Tensor

from policy_update.algebra import estimators
from tests.policy_update.algebra.helpers import rewards

pytest.importorskip("trl", reason="trl is not among the dependencies; `make test-oracles` compares with it")

from trl.trainer.utils import nanstd

GROUPS = rewards([1.0, 2.0, 6.0, 3.5], [0.0, 0.0, 1.0, 0.0], [0.2, 0.4, float("nan"), 0.9])


def test_group_normalised_up_to_bessels_correction() -> None:
    """GRPOTrainer: (r - nanmean) / (nanstd + 1e-4), nanstd over G - 1: ours times sqrt((n - 1) / n), floors apart."""
    r = GROUPS[..., 0]
    theirs = (r - r.nanmean(1, keepdim=True)) / nanstd(r, dim=1, keepdim=True)
    count = (~r.isnan()).sum(1, keepdim=True)
    ours = estimators.group_normalized(GROUPS, torch.zeros(1, dtype=torch.float64))[..., 0]
    assert (ours * ((count - 1) / count).sqrt() - theirs.nan_to_num(0.0)).abs().max() < 1e-6


def test_leave_one_out() -> None:
    """RLOOTrainer: the baseline is (nansum - r) / (n - 1)."""
    r = GROUPS[..., 0]
    count = (~r.isnan()).sum(1, keepdim=True)
    theirs = (r - (r.nansum(1, keepdim=True) - r) / (count - 1)).nan_to_num(0.0)
    assert (estimators.leave_one_out(GROUPS)[..., 0] - theirs).abs().max() < 1e-6


def test_batch_normalised_up_to_bessels_correction() -> None:
    """scale_rewards="batch": (r - nanmean of the group) / nanstd of all."""
    r = GROUPS[..., 0]
    theirs: Tensor = (r - r.nanmean(1, keepdim=True)) / nanstd(r.flatten(), dim=0)
    count = float((~r.isnan()).sum())
    ours = estimators.batch_normalized(GROUPS, torch.zeros(1, dtype=torch.float64))[..., 0]
    assert (ours * ((count - 1) / count) ** 0.5 - theirs.nan_to_num(0.0)).abs().max() < 1e-6
