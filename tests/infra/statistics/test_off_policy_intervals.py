"""Scores against the numbers of `obp`, intervals against their own coverage, bounds against the library `confseq`."""

import math

import numpy as np
import pytest
from scipy import optimize

from infra.statistics import (
    InvalidStatisticsInput,
    always_valid_interval,
    asymptotic_rho,
    doubly_robust,
    doubly_robust_scores,
    inverse_propensity_scores,
    off_policy_interval,
    self_normalised,
    self_normalised_scores,
    switch_scores,
)
from infra.statistics.off_policy_intervals import gamma_exponential_log_wealth
from tests.infra.statistics.test_off_policy import ACTIONS, NEW, PREDICTED, REWARDS, WEIGHTS
from tests.infra.statistics.test_oracles import X

ALONE = np.arange(4)
MEAN_UNDER_NEW = np.full(4, PREDICTED @ NEW)


def test_the_means_of_the_scores_are_the_estimators() -> None:
    assert inverse_propensity_scores(REWARDS, WEIGHTS).mean() == pytest.approx(0.56875)
    assert self_normalised_scores(REWARDS, WEIGHTS).mean() == pytest.approx(0.52)
    assert doubly_robust_scores(REWARDS, WEIGHTS, PREDICTED[ACTIONS], MEAN_UNDER_NEW).mean() == pytest.approx(0.6025)
    assert np.isnan(self_normalised_scores(REWARDS, np.zeros(4))).all()


def test_switch_lies_between_the_model_and_doubly_robust() -> None:
    logged = PREDICTED[ACTIONS]
    direct = switch_scores(REWARDS, WEIGHTS, logged, MEAN_UNDER_NEW, threshold=0.0)
    assert direct.mean() == pytest.approx(0.48)  # obp's direct method
    everything = switch_scores(REWARDS, WEIGHTS, logged, MEAN_UNDER_NEW, threshold=np.inf)
    assert everything.mean() == doubly_robust(REWARDS, WEIGHTS, logged, MEAN_UNDER_NEW).value
    some = switch_scores(REWARDS, WEIGHTS, logged, MEAN_UNDER_NEW, threshold=0.9)  # keeps .6 and .875
    assert some.mean() == pytest.approx(0.48 + (0.6 * -0.2 + 0.875 * 0.4) / 4)


def test_intervals_of_clustered_observations_cover() -> None:
    """People with several answers each, logged by one policy, judged under another: 95 % intervals."""
    draw, covered, runs = np.random.default_rng(5), 0, 300
    for _ in range(runs):
        person = np.repeat(np.arange(150), 4)
        taste = draw.beta(1, 1, 150)[person]
        logged = np.where(taste > 0.5, 0.7, 0.3)
        took = draw.random(600) < logged
        reward = (draw.random(600) < np.where(took, taste, 0.4)).astype(float)
        weight = np.where(took, 0.5 / logged, 0.5 / (1 - logged))
        found = off_policy_interval(self_normalised_scores(reward, weight), person)
        assert found.mean == pytest.approx(self_normalised(reward, weight).value)
        covered += found.low <= 0.45 <= found.high
    assert 0.92 <= covered / runs <= 0.98


def _gamma_exponential_bound(variance: float, level: float, variance_at_best: float) -> float:
    """Where the mixture, tuned for this level, reaches 1 / level."""
    rho = 1 / asymptotic_rho(variance_at_best, 2 * level) ** 2

    def excess(s: float) -> float:
        return gamma_exponential_log_wealth(s, variance, rho) + math.log(level)

    return float(optimize.brentq(excess, 0, 1000, xtol=1e-12))


def test_the_mixture_against_confseq() -> None:
    """gamma_exponential_mixture_bound(100, .05, 100, 1, .05) = 30.238129620079235, found there by bisection to 12
    digits; conjmix_empbern_twosided_cs(X, v_opt=120)[-1], which halves alpha twice and goes by the distances from the
    mean of earlier values, 1/2 at first."""
    assert _gamma_exponential_bound(100, 0.05, 100) == pytest.approx(30.238129620079235, rel=2e-12)
    earlier = np.append(0.5, (np.cumsum(X) / np.arange(1, 501))[:-1])
    margin = _gamma_exponential_bound(float(np.sum((X - earlier) ** 2)), 0.0125, 120) / 500
    assert (0.6 - margin, 0.6 + margin) == pytest.approx((0.520191029701033, 0.6798089702989669), rel=2e-12)
    assert gamma_exponential_log_wealth(-200.0, 100, 15.0) == -math.inf


def test_always_valid_bounds_hold_at_every_look() -> None:
    draw, missed, runs = np.random.default_rng(6), 0, 200
    for _ in range(runs):
        logged = draw.choice([0.1, 0.5, 0.9], 400)
        took = draw.random(400) < logged
        reward = (draw.random(400) < np.where(took, 0.3, 0.6)).astype(float)
        weight = np.where(took, 1 / logged, 0.0)  # the new policy always takes it
        looks = [always_valid_interval(reward[:n], weight[:n], alpha=0.1) for n in range(20, 401, 20)]
        missed += any(not low <= 0.3 <= high for low, high in looks)
    assert missed / runs <= 0.1
    low, high = always_valid_interval(np.tile(reward, 50), np.tile(weight / weight.mean(), 50), alpha=0.1)
    assert high - low < 0.1


def test_edges() -> None:
    assert always_valid_interval(np.array([]), np.array([])) == (0.0, 1.0)
    low, high = always_valid_interval(np.zeros(5), np.ones(5))
    assert low == 0.0
    assert high <= 1.0
    with pytest.raises(InvalidStatisticsInput, match="at least 0"):
        always_valid_interval(np.array([0.5]), np.array([-1.0]))
    with pytest.raises(InvalidStatisticsInput, match="alpha"):
        always_valid_interval(np.array([0.5]), np.array([1.0]), alpha=1.0)
    assert off_policy_interval(np.ones(4), ALONE).mean == 1.0
