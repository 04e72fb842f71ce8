"""Tastes, reliability and redundancy: by hand, by brute force, and against scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ingest.trust.evidence import Evidence, Floats
from ingest.trust.redundancy import Redundancy, fit_redundancy
from ingest.trust.reliability import GRID, Rows, attention, grid_prior, likelihoods, posterior, rows_of
from ingest.trust.tastes import PRIOR_VOTES, RIDGE, Tastes, fit_tastes, sigmoid


def evidence_of(
    rows: list[tuple[int, int, float]], people: int, items: int, features: Floats | None = None
) -> Evidence:
    """Opinions (person, item, value), sorted by person, a second apart."""
    rows = sorted(rows)
    return Evidence(
        people,
        items,
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.float64),
        np.arange(len(rows), dtype=np.float64),
        np.zeros((items, 0)) if features is None else features,
        np.full((len(rows), 0), -1, np.int8),
    )


def test_evidence_must_be_sorted_by_person() -> None:
    with pytest.raises(ValueError, match="sort every column by person"):
        Evidence(
            2,
            1,
            np.array([1, 0]),
            np.zeros(2, np.int64),
            np.ones(2),
            np.ones(2),
            np.zeros((1, 0)),
            np.zeros((2, 0), np.int8),
        )


def test_the_appeal_of_an_item_is_a_beta_mean_around_what_features_predict() -> None:
    tastes = Tastes(np.array([[np.log(3.0)]]), np.array([[3.0], [0.0]]), np.array([[2.0], [0.0]]), np.ones(1))
    assert tastes.prior(np.zeros((2, 0)))[:, 0].tolist() == pytest.approx([0.75, 0.75])
    # (2 + 4 * 0.75) / (3 + 4), and the prior alone where nobody voted
    assert tastes.appeal(np.zeros((2, 0)))[:, 0].tolist() == pytest.approx([5 / 7, 0.75])


def test_nobody_agrees_with_their_own_vote() -> None:
    evidence = evidence_of([(0, 0, 1.0), (1, 0, 0.0)], 2, 1)
    tastes = fit_tastes(evidence, np.ones((2, 1)), np.ones(1))
    half = sigmoid(tastes.slopes[0, -1:])[0]
    appeal = tastes.without_own(evidence, np.ones((2, 1)))[:, 0]
    assert appeal.tolist() == pytest.approx(
        [PRIOR_VOTES * half / (1 + PRIOR_VOTES), (1 + PRIOR_VOTES * half) / (1 + PRIOR_VOTES)]
    )


def test_slopes_are_those_of_a_ridge_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 3))
    liked = rng.random(400) < sigmoid(features @ np.array([1.5, -1.0, 0.0]) + 0.3)
    evidence = evidence_of([(i, i, float(liked[i])) for i in range(400)], 400, 400, features)
    tastes = fit_tastes(evidence, np.ones((400, 1)), np.ones(1))
    for _ in range(5):
        tastes = fit_tastes(evidence, np.ones((400, 1)), np.ones(1), tastes.slopes)
    oracle = LogisticRegression(C=1.0 / RIDGE, tol=1e-10).fit(features, liked)
    np.testing.assert_allclose(tastes.slopes[0, :3], oracle.coef_[0], atol=2e-3)


@given(st.integers(0, 1000))
def test_the_posterior_is_bayes_rule_by_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    attentive, careless = rng.uniform(0.05, 0.95, (4, 2)), rng.uniform(0.05, 0.95, 4)
    person = np.array([0, 0, 1, 1])
    shares, prior = np.array([0.7, 0.3]), grid_prior()
    found = posterior(likelihoods(Rows(person, attentive, careless), 3), shares, prior)
    joint = np.zeros((2, len(GRID)))
    for k, g in itertools.product(range(2), range(len(GRID))):
        joint[k, g] = shares[k] * prior[g]
        for row in (0, 1):
            joint[k, g] *= GRID[g] * attentive[row, k] + (1 - GRID[g]) * careless[row]
    np.testing.assert_allclose(found.joint[0], joint / joint.sum(), rtol=1e-9)
    assert found.evidence[0] == pytest.approx(np.log(joint.sum()))
    np.testing.assert_allclose(found.joint[2], np.outer(shares, prior), rtol=1e-12)  # no rows: the prior
    low, high = found.interval()
    assert (low <= found.mean + 0.05).all()
    assert (found.mean <= high + 0.05).all()


def test_a_vote_counts_for_a_taste_as_far_as_it_followed_it() -> None:
    rows = Rows(np.array([0]), np.array([[0.8]]), np.array([0.2]))
    found = posterior(likelihoods(rows, 1), np.ones(1), grid_prior())
    weight = found.joint[0, 0]
    by_hand = sum(weight[g] * r * 0.8 / (r * 0.8 + (1 - r) * 0.2) for g, r in enumerate(GRID))
    assert attention(rows, found, 1)[0, 0] == pytest.approx(by_hand)


def test_leniency_is_not_carelessness() -> None:
    """Two people follow the same taste, one of them likes nearly everything: both are predictable."""
    rng = np.random.default_rng(0)
    appeal = np.tile([0.9, 0.1], 20)
    strict = (rng.random(40) < appeal).astype(float)
    lenient = (rng.random(40) < sigmoid(np.log(appeal / (1 - appeal)) + 2.0)).astype(float)
    coin = (rng.random(40) < 0.5).astype(float)
    rows = [(p, i, v) for p, said in enumerate((strict, lenient, coin)) for i, v in enumerate(said)]
    evidence = evidence_of(rows, 3, 40)
    tastes = Tastes(np.zeros((1, 1)), np.full((40, 1), 1e6), 1e6 * appeal[:, None], np.ones(1))
    redundancy = Redundancy(np.zeros((2, 0)), np.zeros(0))
    made = rows_of(evidence, tastes.appeal(evidence.features)[evidence.item], tastes, 0.5, redundancy, 0.95)
    mean = posterior(likelihoods(made, 3), np.ones(1), grid_prior()).mean
    assert mean[0] > 0.7
    assert mean[1] > 0.8
    assert mean[2] < 0.4


def test_honeypots_tell_whoever_looks() -> None:
    evidence = Evidence(
        2, 2, *(np.zeros(0, np.int64),) * 2, np.zeros(0), np.zeros(0), np.zeros((2, 0)), np.zeros((0, 0), np.int8),
        judge=np.array([0, 0, 0, 1, 1, 1]), chosen=np.zeros(6, np.int64), rejected=np.ones(6, np.int64),
        right=np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
    )  # fmt: skip
    tastes = Tastes(np.zeros((1, 1)), np.zeros((2, 1)), np.zeros((2, 1)), np.ones(1))
    rows = rows_of(evidence, np.zeros((0, 1)), tastes, 0.5, Redundancy(np.zeros((2, 0)), np.zeros(0)), 0.95)
    assert rows.attentive[:, 0].tolist() == pytest.approx([0.95] * 3 + [0.05] * 3)
    assert rows.careless.tolist() == [0.5] * 6
    mean = posterior(likelihoods(rows, 2), np.ones(1), grid_prior()).mean
    assert mean[0] > 0.75
    assert mean[1] < 0.35


def test_a_duel_is_predicted_from_the_appeal_of_its_answers() -> None:
    evidence = Evidence(
        1, 2, *(np.zeros(0, np.int64),) * 2, np.zeros(0), np.zeros(0), np.zeros((2, 0)), np.zeros((0, 0), np.int8),
        judge=np.zeros(1, np.int64), chosen=np.array([0]), rejected=np.array([1]), right=np.array([np.nan]),
    )  # fmt: skip
    tastes = Tastes(np.zeros((1, 1)), np.full((2, 1), 96.0), np.array([[76.0], [26.0]]), np.ones(1))
    rows = rows_of(evidence, np.zeros((0, 1)), tastes, 0.5, Redundancy(np.zeros((2, 0)), np.zeros(0)), 0.95)
    better, worse = 78 / 100, 28 / 100
    odds = better / (1 - better) / (worse / (1 - worse))
    assert rows.attentive[0, 0] == pytest.approx(odds / (1 + odds))


def test_signals_that_go_together_say_that_somebody_is_looking() -> None:
    value = np.array([1.0] * 50 + [0.0] * 50)
    also = np.concatenate([np.ones(40), np.zeros(10), np.zeros(40), np.ones(10)]).astype(np.int8)[:, None]
    found = fit_redundancy(value, also, np.ones(100))
    assert found.alone[0] == pytest.approx(50.5 / 101)
    assert found.given[1, 0] == pytest.approx((40 + 5 * 0.5) / 55)
    assert found.given[0, 0] == pytest.approx((10 + 5 * 0.5) / 55)
    told, untold = found.likelihoods(np.array([1.0, 0.0, 1.0]), np.array([[1], [1], [-1]], np.int8))
    assert told.tolist() == pytest.approx([42.5 / 55, 12.5 / 55, 1.0])
    assert untold.tolist() == pytest.approx([0.5, 0.5, 1.0])
