"""Advice before exposure: withheld where it is no evidence, bounds that hold at every look."""

import numpy as np
import pytest

from infra.statistics import InvalidStatisticsInput, always_valid_doubly_robust, off_policy_advice


def logged(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The new policy takes an action always that was logged with probability 1/4 or 1/2; it earns .6, the other .3.
    Predictions are off by .1."""
    draw = np.random.default_rng(seed)
    chance = draw.choice([0.25, 0.5], n)
    took = draw.random(n) < chance
    rewards = (draw.random(n) < np.where(took, 0.6, 0.3)).astype(float)
    return rewards, np.where(took, 1 / chance, 0.0), np.where(took, 0.5, 0.4), np.full(n, 0.5)


def test_below_an_effective_sample_size_of_100_nothing_is_said() -> None:
    rewards, weights, *predicted = logged(200, 0)
    found = off_policy_advice(rewards, weights, (predicted[0], predicted[1]))
    assert found.effective_sample_size < 100
    assert "no evidence" in found.withheld
    assert (found.clipped, found.doubly_robust, found.self_normalised) == (None, None, None)


def test_advice_of_enough_answers() -> None:
    rewards, weights, *predicted = logged(4000, 1)
    found = off_policy_advice(rewards, weights, (predicted[0], predicted[1]), clip=4.0)
    assert found.withheld == ""
    for value, bounds in (
        (found.clipped, found.clipped_bounds),
        (found.doubly_robust, found.doubly_robust_bounds),
    ):
        assert value == pytest.approx(0.6, abs=0.05)
        assert bounds is not None
        assert bounds[0] < 0.6 < bounds[1]
    assert found.self_normalised == pytest.approx(0.6, abs=0.05)
    # Weights beyond the clip leave the doubly robust mean without bounds.
    assert off_policy_advice(rewards, weights, (predicted[0], predicted[1]), clip=3.0).doubly_robust_bounds is None


def test_doubly_robust_bounds_hold_at_every_look() -> None:
    missed = 0
    for seed in range(60):
        data = logged(300, 100 + seed)
        r, w, q, v = data
        looks = [always_valid_doubly_robust(r[:n], w[:n], q[:n], v[:n], 4.0, alpha=0.1) for n in range(30, 301, 30)]
        missed += any(not low <= 0.6 <= high for low, high in looks)
    assert missed <= 8


def test_weights_that_were_not_expected_are_refused() -> None:
    one = np.ones(3)
    with pytest.raises(InvalidStatisticsInput, match="weights"):
        always_valid_doubly_robust(one, 5 * one, one, one, 4.0)
    with pytest.raises(InvalidStatisticsInput, match="alpha"):
        always_valid_doubly_robust(one, one, one, one, 4.0, alpha=0.0)
