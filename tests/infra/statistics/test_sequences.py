"""Confidence sequences against the numbers of `gbstats` 0.8.0, and coverage by simulation under a growing ramp."""

import numpy as np
import pytest

from infra.statistics import asymptotic_margin, asymptotic_rho, augmented_scores, mean_confidence_sequence


@pytest.mark.parametrize(
    ("tuning", "rho", "low", "high"),
    [
        (5000, 0.03984006677137368, -0.002998137423958252, 0.034998137423958256),
        (10000, 0.02817118137696317, -0.0028351287261689888, 0.03483512872616899),
    ],
)
def test_golden_numbers(tuning: int, rho: float, low: float, high: float) -> None:
    """SequentialTwoSidedTTest of 500 in 5,000 against 580 in 5,000."""
    assert asymptotic_rho(tuning, 0.05) == pytest.approx(rho, rel=1e-14)
    error = np.sqrt(0.1 * 0.9 / 5000 + 0.116 * 0.884 / 5000)
    margin = float(asymptotic_margin(error * 100, 10_000.0, rho, 0.05))
    assert (0.016 - margin, 0.016 + margin) == pytest.approx((low, high), rel=1e-12)


def test_scores_by_hand() -> None:
    scores = augmented_scores(np.array([True, False, True]), np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.25]))
    # Means before: 1/2, 1, 1/2. (1 - 1/2) / .5 = 1; -(0 - 1) / .5 = 2; (1 - 1/2) / .25 = 2.
    assert scores.tolist() == [1.0, 2.0, 2.0]
    assert augmented_scores(np.array([], dtype=bool), np.array([]), np.array([])).size == 0


def test_covers_the_effect_all_the_time() -> None:
    """Effect .1 while the base rate moves from .1 to .4 and the challenger's share from .2 to .5."""
    draw, n = np.random.default_rng(2), 3000
    base, share = np.linspace(0.1, 0.4, n), np.where(np.arange(n) < n // 2, 0.2, 0.5)
    misses = 0
    for _ in range(150):
        arm = draw.random(n) < share
        values = (draw.random(n) < base + 0.1 * arm).astype(float)
        found = mean_confidence_sequence(augmented_scores(arm, values, share), 2000)
        late = slice(200, None)  # asymptotic: not from the first person on
        misses += bool(np.any((found.low[late] > 0.1) | (found.high[late] < 0.1)))
    assert misses <= 15


def test_too_few_is_no_bound() -> None:
    found = mean_confidence_sequence(np.array([1.0, 0.0]), 100)
    assert found.low[0] == -np.inf
    assert np.isfinite(found.low[1])
