"""Disagreement: by hand, against scipy, and invariant to any rising change of scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from reward_model.disagreement import disagreement
from reward_model.evaluation import InvalidEvaluation

NONE = np.zeros((0, 2), np.int64)


def test_flips_by_hand() -> None:
    """Three pairs: kept, turned round, tied by one: (0 + 1 + 1/2) / 3."""
    champion, challenger = np.array([3.0, 1.0, 2.0, 2.0]), np.array([5.0, 4.0, 6.0, 1.0])
    pairs = np.array([[0, 1], [0, 2], [2, 3]])
    found = disagreement(challenger, champion, list(range(4)), pairs)
    assert found.flips is not None
    assert found.flips.estimate == pytest.approx(0.5)
    assert set(found.most_changed[:2]) == {2, 3}  # from sharing second place to first and last


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_the_rank_correlation_is_spearmans(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, 30).astype(float), rng.integers(0, 9, 30).astype(float)
    found = disagreement(a, b, list(range(30)), NONE, resamples=20)
    assert found.rank_correlation is not None
    assert found.rank_correlation.estimate == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    scaled = disagreement(np.exp(a / 3), 7 * b - 2, list(range(30)), NONE, resamples=20)
    assert scaled.rank_correlation == found.rank_correlation
    assert found.flips is None


def test_the_same_model_agrees_wholly() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    pairs = np.arange(50).reshape(25, 2)
    found = disagreement(scores, 2 * scores + 1, [i // 2 for i in range(50)], pairs)
    assert found.rank_correlation is not None
    assert found.flips is not None
    assert (found.rank_correlation.estimate, found.flips.estimate) == (pytest.approx(1.0), 0.0)
    assert found.most_changed == ()


def test_the_interval_covers_and_few_groups_say_nothing() -> None:
    hits, rng = 0, np.random.default_rng(1)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's rho of a normal pair with r = .6
    for _ in range(60):
        a = rng.normal(size=150)
        b = 0.6 * a + 0.8 * rng.normal(size=150)
        interval = disagreement(a, b, list(range(150)), NONE, resamples=200).rank_correlation
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits >= 51
    few = disagreement(np.arange(9.0), np.arange(9.0) ** 2, [0] * 9, NONE).rank_correlation
    assert few is not None
    assert (few.low, few.high) == (-1.0, 1.0)


def test_constants_and_wrong_rows() -> None:
    assert disagreement(np.ones(5), np.arange(5.0), list(range(5)), NONE).rank_correlation is None
    with pytest.raises(InvalidEvaluation, match="champion: row 1 is nan"):
        disagreement(np.zeros(2), np.array([0.0, np.nan]), [0, 1], NONE)
