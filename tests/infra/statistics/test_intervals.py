"""Clustered intervals against hand values, scipy and coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from infra.statistics import InvalidStatisticsInput, clustered_bootstrap, wilson_interval
from infra.statistics.intervals import clustered_difference, clustered_mean


def test_singletons_are_the_ordinary_t_interval() -> None:
    x = np.array([1.0, 2.0, 4.0, 9.0])
    found = clustered_mean(x, np.arange(4))
    low, high = stats.t.interval(0.95, 3, loc=x.mean(), scale=stats.sem(x))
    assert (found.mean, found.low, found.high) == pytest.approx((4.0, low, high))


def test_clusters_by_hand() -> None:
    # Values 0, 0 | 1, 1 | 2, 2: mean 1, cluster sums -2, 0, 2; SE = sqrt(3/2 * 8) / 6 = 0.57735.
    found = clustered_mean(np.array([0, 0, 1, 1, 2, 2.0]), np.array([5, 5, 7, 7, 9, 9]))
    assert found.standard_error == pytest.approx(0.5773503)
    assert found.clusters == 3


def test_copies_of_an_observation_add_no_evidence() -> None:
    x, c = np.array([1.0, 3.0, 2.0, 7.0]), np.arange(4)
    assert clustered_mean(np.repeat(x, 5), np.repeat(c, 5)).high == pytest.approx(clustered_mean(x, c).high)


def test_too_little_is_no_evidence() -> None:
    assert clustered_mean(np.array([1.0, 2.0]), np.array([1, 1])).high == np.inf
    assert np.isnan(clustered_mean(np.array([]), np.array([], dtype=int)).mean)


def test_coverage() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(500):
        shared = np.repeat(draw.normal(0, 1, 30), 4)
        a, b = shared + draw.normal(0.3, 1, 120), draw.normal(0, 1, 120)
        found = clustered_difference(a, b, np.repeat(np.arange(30), 4))
        hits += found.low <= 0.3 <= found.high
    assert 0.92 <= hits / 500 <= 0.98


def test_bootstrap_agrees_with_the_robust_interval() -> None:
    draw = np.random.default_rng(1)
    clusters = np.repeat(np.arange(80), 5)
    values = np.repeat(draw.normal(0, 1, 80), 5) + draw.normal(0, 1, 400)
    robust, drawn = clustered_mean(values, clusters), clustered_bootstrap(values, clusters)
    assert drawn.standard_error == pytest.approx(robust.standard_error, rel=0.1)
    assert drawn.low == pytest.approx(robust.low, abs=0.04)
    assert clustered_bootstrap(values[:1], clusters[:1]).high == np.inf


def test_wilson_golden_numbers() -> None:
    """Newcombe 1998, Stat. Med. 17, table I, method 3: 81 of 263; and the ends."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(InvalidStatisticsInput):
        wilson_interval(3, 2)
