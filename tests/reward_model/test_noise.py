"""The flip rate: recovered where margins are informative, honest where they are not."""

import numpy as np
import pytest

from reward_model.noise import best_scale, estimate_flip_rate, log_likelihood


def recorded(e: float, spread: float, count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    """Margins of the recorded preference when people follow s(z) and the record flips with probability e."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, spread, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-z))
    return np.where(truth ^ (rng.random(count) < e), z, -z)


@pytest.mark.parametrize("e", [0.0, 0.1, 0.2, 0.35])
def test_recovers_the_flip_rate_from_informative_margins(e: float) -> None:
    margins = recorded(e, 4.0, 4000)
    found = estimate_flip_rate(margins / 7.0, np.ones(4000))  # the scale is unknown to the estimator
    assert found.flip_rate == pytest.approx(e, abs=0.04)
    assert found.interval[0] - 0.011 <= e <= found.interval[1] + 0.011
    assert found.scale == pytest.approx(7.0, rel=0.25)


def test_weak_margins_give_a_wide_interval_and_the_prior_decides() -> None:
    found = estimate_flip_rate(recorded(0.2, 0.3, 300), np.ones(300))
    assert found.interval[1] - found.interval[0] > 0.3
    assert found.flip_rate < 0.2


def test_weights_count_as_copies() -> None:
    margins = recorded(0.2, 3.0, 400)
    twice = estimate_flip_rate(np.concatenate([margins, margins]), np.ones(800))
    weighted = estimate_flip_rate(margins, np.full(400, 2.0))
    assert (weighted.flip_rate, weighted.interval) == (twice.flip_rate, twice.interval)
    assert weighted.scale == pytest.approx(twice.scale)


def test_never_above_the_largest() -> None:
    assert estimate_flip_rate(recorded(0.5, 4.0, 500), np.ones(500), largest=0.3).flip_rate <= 0.3


def test_likelihood_by_hand() -> None:
    margins, weights = np.array([np.log(3.0), -np.log(3.0)]), np.array([2.0, 1.0])
    assert log_likelihood(margins, weights, 0.0) == pytest.approx(2 * np.log(0.75) + np.log(0.25))
    assert log_likelihood(margins, weights, 0.1) == pytest.approx(2 * np.log(0.7) + np.log(0.3))


def test_useless_margins_get_no_scale() -> None:
    rng = np.random.default_rng(1)
    assert best_scale(rng.normal(0, 1, 4000), np.ones(4000), 0.0) < 0.1
