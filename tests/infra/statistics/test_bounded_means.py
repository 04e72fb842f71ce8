"""Exact sequences of bounded means against `confseq` 0.0.11 and `ville` 0.1.0, by hand, and by simulation."""

import numpy as np
import pytest

from infra.statistics import InvalidStatisticsInput, betting_interval, empirical_bernstein_sequence, rate_interval
from tests.infra.statistics.test_oracles import X


def test_confseq_empirical_bernstein() -> None:
    """predmix_empbern_twosided_cs(X, running_intersection=True)[-1] = (0.513788628797208, 0.6807339904026601)."""
    found = empirical_bernstein_sequence(X)
    assert (found.low[-1], found.high[-1]) == pytest.approx((0.513788628797208, 0.6807339904026601), rel=1e-12)
    assert found.estimate[-1] == pytest.approx(0.6)


def test_confseq_betting() -> None:
    """betting_cs(X, alpha=.05, breaks=1000, running_intersection=True) after 500 and after 100 values."""
    assert betting_interval(X) == pytest.approx((0.514, 0.680))
    assert betting_interval(X[:100]) == pytest.approx((0.438, 0.742))


def test_ville_rates() -> None:
    """BernoulliCS (0.5238828562567703, 0.6716539890217039): the narrowest bounds so far."""
    successes = np.cumsum(X)
    bounds = [rate_interval(successes[n - 1], n) for n in range(1, 501)]
    assert max(low for low, _high in bounds) == pytest.approx(0.5238828562567703, rel=1e-12)
    assert min(high for _low, high in bounds) == pytest.approx(0.6716539890217039, rel=1e-12)


def test_rates_by_hand() -> None:
    """One success of one: B(2, 1) = 1/2, so 1 / (2 m) reaches 20 at m = 1/40. Nobody: anything."""
    assert rate_interval(1, 1) == (pytest.approx(1 / 40), 1.0)
    assert rate_interval(0, 1) == (0.0, pytest.approx(39 / 40))
    assert rate_interval(0, 0) == (0.0, 1.0)


def test_all_of_them_hold_at_every_look() -> None:
    """Rate .1, level 20 %; looks at 20, 40, ..., 300 people."""
    draw, missed = np.random.default_rng(0), np.zeros(3)
    for _ in range(60):
        values = (draw.random(300) < 0.1).astype(float)
        bernstein = empirical_bernstein_sequence(values, 0.2)
        looks = [rate_interval(values[:n].sum(), n, 0.2) for n in range(20, 301, 20)]
        bounds = [(bernstein.low[-1], bernstein.high[-1]), betting_interval(values, 0.2, 100)]
        missed += [
            *(not low <= 0.1 <= high for low, high in bounds),
            any(not low <= 0.1 <= high for low, high in looks),
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
