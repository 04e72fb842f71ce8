"""Metrics against sklearn and by hand; the clustered interval covers what it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reward_model.evaluation import (
    InvalidEvaluation,
    auroc,
    brier,
    cluster_index,
    clustered_interval,
    correlation,
    ece_if_calibrated,
    expected_calibration_error,
    group_sums,
    log_loss,
    require_finite,
    wilson,
    wins,
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000))
def test_auroc_agrees_with_sklearn_on_hard_labels_ties_and_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, 40).astype(float)
    targets[:2] = 0.0, 1.0
    scores, weights = rng.integers(0, 6, 40) / 5.0, rng.random(40) + 0.1
    assert auroc(targets, scores, weights) == pytest.approx(roc_auc_score(targets, scores, sample_weight=weights))


def test_auroc_needs_both_kinds() -> None:
    assert auroc(np.ones(3), np.arange(3.0), np.ones(3)) is None


def test_a_soft_label_does_not_compete_with_itself() -> None:
    assert auroc(np.array([0.5]), np.array([0.3]), np.ones(1)) is None


def test_brier_and_log_loss_by_hand() -> None:
    targets, p, weights = np.array([1.0, 0.0]), np.array([0.75, 0.5]), np.array([1.0, 3.0])
    assert brier(targets, p, weights) == pytest.approx((0.0625 + 3 * 0.25) / 4)
    assert log_loss(targets, p, weights) == pytest.approx((-np.log(0.75) - 3 * np.log(0.5)) / 4)


def test_calibration_error_by_hand() -> None:
    """Two bins of two: |1 - .7| and |0 - .2| weigh half each."""
    targets, p = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.2, 0.2, 0.7, 0.7])
    assert expected_calibration_error(targets, p, np.ones(4), bins=2) == pytest.approx(0.25)


def test_a_calibrated_model_is_within_its_own_bound_and_a_wrong_one_is_not() -> None:
    rng = np.random.default_rng(0)
    p, weights = rng.uniform(0.1, 0.9, 500), np.ones(500)
    targets = (rng.random(500) < p).astype(float)
    bound = ece_if_calibrated(p, weights)
    assert expected_calibration_error(targets, p, weights) < bound
    assert expected_calibration_error(targets, p**3, weights) > ece_if_calibrated(p**3, weights)


def test_correlation() -> None:
    assert correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1.0)
    assert correlation(np.ones(5), np.arange(5.0)) is None
    assert correlation(np.arange(2.0), np.arange(2.0)) is None


def test_wins_count_ties_half() -> None:
    assert wins(np.array([2.0, 0.0, -1.0])).tolist() == [1.0, 0.5, 0.0]


def test_wilson_by_hand() -> None:
    """10 of 10: (n + z^2/2) / (n + z^2) -+ ... = n / (n + z^2) to 1."""
    low, high = wilson(1.0, 10)
    assert low == pytest.approx(10 / (10 + 1.959963984540054**2))
    assert high == pytest.approx(1.0)


def test_clusters_widen_the_interval() -> None:
    """Rows that repeat their group's one answer ten times are ten times fewer observations."""
    rng = np.random.default_rng(0)
    answers = (rng.random(100) < 0.6).astype(float)
    values = np.repeat(answers, 10)
    options = {"resamples": 1000, "seed": 0}
    alone = clustered_interval(values, np.arange(1000), np.ones(1000), **options)
    grouped = clustered_interval(values, np.repeat(np.arange(100), 10), np.ones(1000), **options)
    assert grouped.estimate == alone.estimate == pytest.approx(answers.mean())
    assert grouped.half_width == pytest.approx(np.sqrt(10) * alone.half_width, rel=0.2)
    assert (grouped.count, grouped.groups) == (1000, 100)


def test_the_interval_covers() -> None:
    """Of 200 samples with clustered noise, about 95 % of the intervals hold the truth."""
    rng, hits = np.random.default_rng(0), 0
    groups = np.repeat(np.arange(60), 4)
    for _ in range(200):
        rate = rng.beta(6, 4, 60)
        values = (rng.random(240) < rate[groups]).astype(float)
        found = clustered_interval(values, groups, np.ones(240), resamples=300, seed=1)
        hits += found.low <= 0.6 <= found.high
    assert 180 <= hits <= 199


def test_few_groups_fall_back_to_wilson() -> None:
    found = clustered_interval(np.ones(50), np.repeat(np.arange(5), 10), np.ones(50), resamples=200, seed=0)
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 5))


def test_few_groups_of_an_unbounded_metric_say_nothing() -> None:
    found = clustered_interval(np.array([3.0, 5.0]), np.array([0, 1]), np.ones(2), resamples=10, seed=0)
    assert (found.estimate, found.low, found.high) == (4.0, -np.inf, np.inf)


def test_columns_that_cannot_be_evaluated_are_named() -> None:
    require_finite(a=np.zeros(2), b=np.ones(2))
    with pytest.raises(InvalidEvaluation, match="a 2, b 1"):
        require_finite(a=np.zeros(2), b=np.ones(1))
    with pytest.raises(InvalidEvaluation, match="b: row 1 is inf"):
        require_finite(a=np.zeros(2), b=np.array([0.0, np.inf]))


def test_units_are_numbered_and_their_rows_summed() -> None:
    index, count = cluster_index([3, None, 3, "3", None])
    assert index.tolist() == [0, 1, 0, 2, 3]
    assert group_sums(index, np.arange(5.0), count).tolist() == [2.0, 1.0, 3.0, 4.0]
    assert cluster_index(np.array([7, 5, 7]))[0].tolist() == [1, 0, 1]
