"""Rates and bounds: golden numbers, identities between estimators, and a population whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest.selection.bounds import explaining_gamma, odds_ratio_bounds, silent_opinion_scores, worst_case
from ingest.selection.rates import Sample, rates
from tests.ingest.selection.simulation import simulate

NAN = np.nan
SMALL = Sample(
    voted=np.array([True, True, False, True, False, False]),
    opinions=np.array([1.0, 0.0, NAN, 1.0, NAN, NAN]),
    propensity=np.array([0.5, 0.25, 0.5, 0.8, 0.4, 0.2]),
    predicted=np.array([0.6, 0.2, 0.5, 0.7, 0.4, 0.1]),
    people=np.array([0, 0, 1, 2, 3, 4]),
)


def test_by_hand() -> None:
    found = rates(SMALL, clip=100.0)
    assert found.likes_per_shown.mean == pytest.approx(2 / 6)
    assert found.among_voters.mean == pytest.approx(2 / 3)
    assert found.inverse_propensity.mean == pytest.approx((2 + 1.25) / 6)
    assert found.self_normalised.mean == pytest.approx((2 + 1.25) / (2 + 4 + 1.25))
    direct = (0.6 + 0.2 + 0.5 + 0.7 + 0.4 + 0.1) / 6
    assert found.doubly_robust.mean == pytest.approx(direct + (2 * 0.4 - 4 * 0.2 + 1.25 * 0.3) / 6)
    assert found.effective_sample_size == pytest.approx(7.25**2 / (4 + 16 + 1.25**2))
    assert found.clipped == 0.0


def test_clipping_is_relative_to_the_average_vote_and_counted() -> None:
    found = rates(SMALL, clip=1.5)  # the average vote weighs 2, so 3 at most: the 4 is cut
    assert found.self_normalised.mean == pytest.approx(3.25 / 6.25)
    assert found.clipped == pytest.approx(1 / 3)


def test_worst_case_by_hand() -> None:
    found = worst_case(SMALL)
    assert (found.low, found.high) == (pytest.approx(2 / 6), pytest.approx(5 / 6))
    assert found.least <= found.low <= found.high <= found.most


def test_the_silent_at_three_times_the_odds_by_hand() -> None:
    silent = [3 * q / (3 * q + 1 - q) for q in (0.5, 0.4, 0.1)]
    corrected = [
        (1 / p - 1) * 3 / (3 * q + 1 - q) ** 2 * (y - q) for p, q, y in [(0.5, 0.6, 1), (0.25, 0.2, 0), (0.8, 0.7, 1)]
    ]
    scores = silent_opinion_scores(SMALL, 3.0, 100.0)
    assert scores.sum() == pytest.approx(2 + sum(silent) + sum(corrected))


@given(st.floats(1.01, 50), st.floats(1.01, 5))
@hypothesis_settings(deadline=None)
def test_bounds_are_nested_and_start_at_doubly_robust(gamma: float, more: float) -> None:
    centre = rates(SMALL, clip=100.0).doubly_robust.mean
    at_one = odds_ratio_bounds(SMALL, 1.0, clip=100.0)
    assert at_one.low == at_one.high == pytest.approx(centre)
    exact = Sample(SMALL.voted, SMALL.opinions, np.ones(6), SMALL.predicted, SMALL.people)  # no correction term
    inner, outer = (odds_ratio_bounds(exact, g, clip=100.0) for g in (gamma, gamma * more))
    widest = worst_case(exact)
    assert widest.low - 1e-9 <= outer.low <= inner.low <= inner.high <= outer.high <= widest.high + 1e-9


def test_the_gamma_that_explains_a_truth_puts_it_on_the_edge() -> None:
    for truth in (0.35, 0.5, 0.75):
        gamma = explaining_gamma(SMALL, truth, clip=100.0)
        bounds = odds_ratio_bounds(SMALL, gamma, clip=100.0)
        assert min(abs(bounds.low - truth), abs(bounds.high - truth)) < 1e-6
    assert explaining_gamma(SMALL, rates(SMALL, clip=100.0).doubly_robust.mean, clip=100.0) == 1.0
    assert explaining_gamma(SMALL, 0.999999, clip=100.0, largest=5.0) == 5.0


def test_silence_that_depends_on_what_is_logged_is_corrected() -> None:
    population = simulate(1, people=2500, answers=8)
    fitted = population.fitted()
    found = rates(population.sample(fitted), clip=10.0)
    truth = population.truth
    assert abs(found.likes_per_shown.mean - truth) > 0.1
    assert abs(found.among_voters.mean - truth) > 0.1
    assert abs(found.doubly_robust.mean - truth) < 0.03
    assert abs(found.self_normalised.mean - truth) < 0.03
    assert found.doubly_robust.low <= truth <= found.doubly_robust.high
    assert 0.7 < fitted.auroc < 0.85
    assert fitted.brier_skill > 0.1
    assert 0.9 < fitted.raw_slope < 1.1


def test_silence_that_depends_on_the_opinion_stays_within_the_bounds() -> None:
    population = simulate(2, people=1500, answers=8, opinion_odds=3.0)
    sample = population.sample(population.fitted())
    wrong = rates(sample, clip=10.0).doubly_robust
    assert not wrong.low <= population.truth <= wrong.high  # no correction on covariates helps
    for bounds in (odds_ratio_bounds(sample, 3.0, clip=10.0), worst_case(sample)):
        assert bounds.least <= population.truth <= bounds.most
    assert 2.0 < explaining_gamma(sample, population.truth, clip=10.0) < 4.5
