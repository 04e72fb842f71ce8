"""Length in rewards: measured, regressed out, or given to a head of its own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import pearsonr

from reward_model.length import (
    InvalidLengths,
    LengthRegressor,
    fit_two_heads,
    length_correlation,
    length_report,
    preference_slope,
)


def population(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Features [2 count, 8], lengths, groups and qualities of pairs; people like quality, and length as much."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(2 * count, 8))
    lengths = features[:, 1] + 0.3 * draw.normal(size=2 * count)
    return features, lengths, np.repeat(np.arange(count), 2), features[:, 0]


def test_correlations_against_scipy_and_by_hand() -> None:
    draw = np.random.default_rng(1)
    scores, lengths = draw.normal(size=50), draw.normal(size=50)
    found = length_correlation(scores, lengths, np.arange(50) // 5)
    assert found.overall == pytest.approx(pearsonr(scores, lengths).statistic)
    # Two prompts: within each the longer answer is the worse, although the prompt with longer answers has better ones.
    by_hand = length_correlation(np.array([1.0, 0.0, 5.0, 4.0]), np.array([1.0, 2.0, 8.0, 9.0]), np.array([0, 0, 1, 1]))
    assert by_hand.within == pytest.approx(-1.0)
    assert by_hand.overall > 0.8
    assert np.isnan(length_correlation(np.ones(3), np.arange(3.0), np.zeros(3, int)).overall)


@given(st.integers(0, 100), st.floats(-3, 3), st.floats(-5, 5))
def test_what_a_regressor_leaves_has_no_slope(seed: int, slope: float, shift: float) -> None:
    draw = np.random.default_rng(seed)
    lengths, groups = draw.normal(size=30), np.arange(30) // 3
    scores = slope * lengths + draw.normal(size=30) + shift
    regressor = LengthRegressor.fit(scores, lengths, groups)
    left = regressor.apply(scores, lengths)
    assert LengthRegressor.fit(left, lengths, groups).slope == pytest.approx(0.0, abs=1e-9)
    assert length_correlation(left, lengths, groups).within == pytest.approx(0.0, abs=1e-9)
    assert left.mean() == pytest.approx(scores.mean(), abs=1e-9)
    assert regressor.slope == pytest.approx(LengthRegressor.fit(scores + 7.0, lengths, groups).slope, abs=1e-9)


def test_a_regressor_without_pairs_goes_by_all_answers() -> None:
    lengths = np.array([1.0, 2.0, 4.0])
    assert LengthRegressor.fit(2.0 * lengths, lengths, np.arange(3)).slope == pytest.approx(2.0)
    assert LengthRegressor.fit(np.arange(3.0), np.ones(3), np.arange(3)).slope == 0.0


def test_the_taste_for_length_is_found() -> None:
    draw = np.random.default_rng(0)
    differences = draw.normal(size=4000)
    first = draw.random(4000) < 1 / (1 + np.exp(-0.8 * differences))
    found = preference_slope(np.where(first, differences, -differences))
    assert found == pytest.approx(0.8, abs=0.1)
    assert preference_slope(differences, soft=first.astype(float)) == pytest.approx(found)
    assert preference_slope(differences, np.zeros(4000)) == 0.0
    direct = minimize_scalar(
        lambda b: np.logaddexp(0, -b * np.where(first, differences, -differences)).sum() + b * b / 200
    )
    assert found == pytest.approx(direct.x, abs=1e-5)
    assert np.isfinite(preference_slope(np.ones(5)))  # separable


def test_the_second_head_takes_the_length() -> None:
    """People like quality and length alike; the plain fit follows both, ODIN's quality head the quality alone."""
    features, lengths, groups, quality = population()
    draw = np.random.default_rng(2)
    utility = 1.5 * (quality + lengths)
    first = draw.random(400) < 1 / (1 + np.exp(utility[1::2] - utility[::2]))
    pairs = np.where(first[:, None], np.arange(800).reshape(-1, 2), np.arange(800).reshape(-1, 2)[:, ::-1])
    x, weights = torch.from_numpy(features), np.ones(400)
    plain = fit_two_heads(x, pairs, weights, lengths, l2=0.01, length_penalty=0.0, orthogonality=0.0)
    both = features @ (plain.quality + plain.length).numpy()
    assert length_correlation(both, lengths, groups).overall > 0.5
    heads = fit_two_heads(x, pairs, weights, lengths, l2=0.01)
    scores = features @ heads.quality.numpy()
    assert abs(length_correlation(scores, lengths, groups).overall) < 0.05
    assert length_correlation(features @ heads.length.numpy(), lengths, groups).overall > 0.9
    assert pearsonr(scores, quality).statistic > 0.9
    assert abs(float(torch.nn.functional.cosine_similarity(heads.quality, heads.length, 0))) < 0.05


def test_the_report_says_what_is_left() -> None:
    features, lengths, groups, _ = population(50)
    report = length_report(features[:, 1], lengths, groups)
    assert report["correlation"] > 0.9
    assert abs(report["correlation_regressed_within_prompts"]) < 1e-9


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(InvalidLengths, match="row 1 is nan"):
        LengthRegressor.fit(np.array([0.0, np.nan]), np.zeros(2), np.zeros(2, int))
    with pytest.raises(InvalidLengths, match="no rows"):
        length_correlation(np.zeros(0), np.zeros(0), np.zeros(0, int))
