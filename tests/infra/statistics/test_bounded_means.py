"""Exact sequences of bounded means against `confseq` 0.0.11 and `ville` 0.1.0, by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import optimize

from infra.statistics import (
    InvalidStatisticsInput,
    betting_interval,
    empirical_bernstein_sequence,
    log_dirichlet_factor,
    mean_interval,
    mixture_concentration,
    rate_interval,
)
from tests.infra.statistics.test_oracles import X


def test_empirical_bernstein_of_confseq_and_ville() -> None:
    """predmix_empbern_twosided_cs(X, running_intersection=True)[-1] and EmpiricalBernsteinCS: each has its centre."""
    for shrunken, expected in (
        (False, (0.513788628797208, 0.6807339904026601)),
        (True, (0.516294738432537, 0.6801746649084709)),
    ):
        found = empirical_bernstein_sequence(X, shrunken=shrunken)
        assert (found.low[-1], found.high[-1]) == pytest.approx(expected, rel=1e-14)
        assert found.estimate[-1] == pytest.approx(0.6)


def test_betting_of_confseq_and_ville() -> None:
    """betting_cs(X, alpha=.05, breaks=1000, running_intersection=True) after 500 and after 100 values; BettingCS, which
    has 10,000 candidates, (.51485, .67917) in full .5148514851485149, .6791679167916792."""
    assert betting_interval(X) == pytest.approx((0.514, 0.680), rel=1e-14)
    assert betting_interval(X[:100]) == pytest.approx((0.438, 0.742), rel=1e-14)
    assert betting_interval(X, points=9999) == pytest.approx((0.5148514851485149, 0.6791679167916792), rel=1e-14)


def test_ville_rates() -> None:
    """BernoulliCS (0.5238828562567703, 0.6716539890217039): the narrowest bounds so far."""
    successes = np.cumsum(X)
    bounds = [rate_interval(successes[n - 1], n) for n in range(1, 501)]
    assert max(low for low, _high in bounds) == pytest.approx(0.5238828562567703, rel=1e-13)
    assert min(high for _low, high in bounds) == pytest.approx(0.6716539890217039, rel=1e-13)


def test_confseq_rates() -> None:
    """bernoulli_confidence_interval(60, 100, .05, 100, .05) and (580, 5000, .05, 5000, .05), found there by bisection
    to 12 digits; conjmix_bernoulli_cs(X, t_opt=500)[-1] = (.532, .666) on a grid of thousandths, one step wider, where
    the mixture is tuned for half the level and the threshold is that of the whole."""
    assert rate_interval(60, 100, 0.05, 100) == pytest.approx((0.44836874256134246, 0.7409651082871278), rel=2e-12)
    expected = (0.10267702892742274, 0.1301648925403374)
    assert rate_interval(580, 5000, 0.05, 5000) == pytest.approx(expected, rel=2e-12)
    grid, counts = np.arange(1, 1000) / 1000, np.array([300.0, 200.0])
    concentration = mixture_concentration(500, 0.025)
    left = [m for m in grid if log_dirichlet_factor(counts, np.array([m, 1 - m]), concentration) <= math.log(20)]
    assert (left[0] - 0.001, left[-1] + 0.001) == pytest.approx((0.532, 0.666), rel=1e-12)


def test_confseq_beta_binomial_bound() -> None:
    """beta_binomial_mixture_bound(25, .05, 25, .5, .5, .05, False) = 15.048364771689648: a sum of 100 coins less 50."""
    concentration = mixture_concentration(100, 0.05)

    def excess(s: float) -> float:
        counts = np.array([50 + s, 50 - s])
        return float(log_dirichlet_factor(counts, np.array([0.5, 0.5]), concentration)) - math.log(20)

    assert optimize.brentq(excess, 0, 49, xtol=1e-13) == pytest.approx(15.048364771689648, rel=2e-12)


def test_the_narrowest_for_what_is_there() -> None:
    """Counts for 0 and 1, betting for a few others, the closed form for many: each no wider than the next."""
    assert mean_interval(X) == rate_interval(300, 500, 0.05, 1000)
    few = np.tile([0.2, 0.5, 0.9], 100)
    assert mean_interval(few) == betting_interval(few)
    bernstein = empirical_bernstein_sequence(few)
    assert mean_interval(few)[0] >= bernstein.low[-1]
    assert mean_interval(few)[1] <= bernstein.high[-1] + 1e-3
    many = np.tile(few, 10)
    bernstein = empirical_bernstein_sequence(many)
    assert mean_interval(many) == (bernstein.low[-1], bernstein.high[-1])
    wide, tuned = rate_interval(300, 500), mean_interval(X)
    assert tuned[1] - tuned[0] < wide[1] - wide[0]


def test_rates_by_hand() -> None:
    """One success of one: B(2, 1) = 1/2, so 1 / (2 m) reaches 20 at m = 1/40. Nobody: anything."""
    assert rate_interval(1, 1) == (pytest.approx(1 / 40), 1.0)
    assert rate_interval(0, 1) == (0.0, pytest.approx(39 / 40))
    assert rate_interval(0, 0) == (0.0, 1.0)
    assert rate_interval(0, 0, people_at_best=100) == (0.0, 1.0)
    assert rate_interval(0, 50, people_at_best=100)[0] == 0.0


def test_all_of_them_hold_at_every_look() -> None:
    """Rate .1, level 20 %; looks at 20, 40, ..., 300 people."""
    draw, missed = np.random.default_rng(0), np.zeros(4)
    for _ in range(60):
        values = (draw.random(300) < 0.1).astype(float)
        bernstein = empirical_bernstein_sequence(values, 0.2)
        looks = [rate_interval(values[:n].sum(), n, 0.2) for n in range(20, 301, 20)]
        likes = np.cumsum(values)
        counts = np.stack([likes, np.arange(1, 301) - likes], axis=-1)
        tuned = log_dirichlet_factor(counts, np.array([0.1, 0.9]), mixture_concentration(200, 0.2))
        bounds = [(bernstein.low[-1], bernstein.high[-1]), betting_interval(values, 0.2, 100)]
        missed += [
            *(not low <= 0.1 <= high for low, high in bounds),
            any(not low <= 0.1 <= high for low, high in looks),
            bool(tuned.max() >= math.log(5)),
        ]
    assert np.all(missed <= 19)  # more of 60 happen once in a hundred at 20 %


def test_what_has_no_bounded_mean_is_refused() -> None:
    for values in (np.array([]), np.array([1.5]), np.array([np.nan])):
        with pytest.raises(InvalidStatisticsInput, match="all of them in"):
            empirical_bernstein_sequence(values)
        with pytest.raises(InvalidStatisticsInput, match="all of them in"):
            betting_interval(values)
    with pytest.raises(InvalidStatisticsInput, match="alpha"):
        betting_interval(X, 1.0)
    with pytest.raises(InvalidStatisticsInput, match="successes"):
        rate_interval(2, 1)
