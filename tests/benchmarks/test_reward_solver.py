"""The benchmark's batched solver ends where the product's fit of one problem ends; its raters err as they say."""

import numpy as np
import pytest
import torch

from reward_model.heads import fit_utility
from reward_model.losses import NoiseParameters, pair_loss
from tests.benchmarks.reward_pairs import RealPairs
from tests.benchmarks.reward_raters import KINDS, rate
from tests.benchmarks.reward_solver import solve


@pytest.mark.parametrize("loss", ["bt", "huber_bt", "ropo"])
def test_batched_fits_are_single_fits(loss: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)) * [1.0, 0.8, 0.6, 0.4, 0.2, 0.1]
    rows = x * np.where(rng.random(300) < 1 / (1 + np.exp(-x.sum(1))), 1.0, -1.0)[:, None]
    told, weights = NoiseParameters(0.2, 4.0, ropo_alpha=2.0), rng.integers(1, 3, (300, 3)).astype(float)
    penalties = torch.tensor([0.01, 0.03, 0.1])
    ahead = torch.from_numpy(weights).float()
    found = solve(
        torch.from_numpy(rows).float(), ahead, torch.zeros(300, 3), penalties, lambda z: pair_loss(loss)(z, told)
    )
    for b in range(3):
        alone = fit_utility(torch.from_numpy(rows), torch.from_numpy(weights[:, b]), float(penalties[b]), loss, told)
        assert torch.allclose(found[:, b].double(), alone, atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_raters_err_as_often_as_they_should_and_as_they_say(kind: str) -> None:
    rng = np.random.default_rng(1)
    truth = np.where(rng.random(1500) < 0.5, 1.0, -1.0)
    pairs = RealPairs(np.zeros((1500, 1)), rng.normal(size=1500), truth, np.arange(1500))
    made = rate(pairs, kind, 0.3, 0)
    told = np.where(truth[made.judgments.pair] > 0, made.wrong_if_first, made.wrong_if_second)
    assert made.realised == pytest.approx(float(told.mean()), abs=0.03)
    assert made.realised == pytest.approx(0.3, abs=0.06)
    assert np.bincount(made.judgments.pair).tolist() == [3] * 1500
    assert bool(made.coordinated) == (kind == "coordinated")
