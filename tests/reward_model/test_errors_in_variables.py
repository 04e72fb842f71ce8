"""The line is least squares without errors of x, Deming's with equal ones, and finds the truth where both err."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reward_model.errors_in_variables import Line, TooFewPoints, fit_line

Array = NDArray[np.float64]


def deming(x: Array, y: Array, ratio: float) -> float:
    """The closed form, `ratio` = variance of y's errors over that of x's."""
    sxx, syy, sxy = np.var(x), np.var(y), np.cov(x, y, bias=True)[0, 1]
    d = syy - ratio * sxx
    return float((d + np.sqrt(d**2 + 4 * ratio * sxy**2)) / (2 * sxy))


def points(seed: int, count: int, error_x: float, error_y: float, scatter: float = 0.0) -> tuple[Array, Array]:
    """True line y = .1 + .9 x over x of standard deviation .05."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.3, 0.05, count)
    y = 0.1 + 0.9 * truth + rng.normal(0, 1, count) * np.hypot(error_y, scatter)
    return truth + rng.normal(0, 1, count) * error_x, y


def test_without_errors_of_x_it_is_least_squares_with_its_interval() -> None:
    x, y = points(0, 12, 0.0, 0.0, scatter=0.02)
    found = fit_line(x, y, np.zeros(12), np.zeros(12))
    oracle = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 10) * oracle.stderr
    assert found.slope == pytest.approx(oracle.slope, rel=1e-5)
    assert found.intercept == pytest.approx(oracle.intercept, rel=1e-4)
    assert found.slope_low == pytest.approx(oracle.slope - half, rel=1e-4)
    assert found.slope_high == pytest.approx(oracle.slope + half, rel=1e-4)
    assert found.scatter == pytest.approx(
        np.sqrt(np.sum((y - oracle.intercept - oracle.slope * x) ** 2) / 10), rel=1e-4
    )


def test_with_errors_in_a_fixed_ratio_it_is_deming_s() -> None:
    x, y = points(1, 20, 0.02, 0.01)
    found = fit_line(x, y, np.full(20, 0.02 * 3), np.full(20, 0.01 * 3))  # generous errors: no scatter on top
    assert found.scatter == 0.0
    assert found.slope == pytest.approx(deming(x, y, 0.25), rel=1e-5)


def test_errors_of_x_do_not_flatten_it() -> None:
    """Least squares would find .9 x .05^2 / (.05^2 + .04^2) = .55."""
    slopes, plain, held = [], [], 0
    for seed in range(150):
        x, y = points(seed, 40, 0.04, 0.005)
        found = fit_line(x, y, np.full(40, 0.04), np.full(40, 0.005))
        slopes.append(found.slope)
        plain.append(stats.linregress(x, y).slope)
        held += found.slope_low <= 0.9 <= found.slope_high
    assert np.median(plain) == pytest.approx(0.55, abs=0.04)
    assert np.median(slopes) == pytest.approx(0.9, abs=0.06)
    assert held >= 137


def test_a_precise_point_far_off_does_not_rule_where_points_scatter() -> None:
    """Scatter of .03 that no error explains: without it the one precise point would carry nearly all the weight."""
    x, y = points(3, 15, 0.0, 0.0, scatter=0.03)
    errors = np.full(15, 0.002)
    errors[0] = 0.00001
    found = fit_line(x, y, np.zeros(15), errors)
    assert found.scatter > 0.01
    weights = 1 / (errors**2 + found.scatter**2)
    assert weights[0] / weights.sum() < 0.2


def test_predictions_hold_new_points() -> None:
    held = 0
    for seed in range(300):
        x, y = points(seed, 13, 0.0, 0.004, scatter=0.02)
        found = fit_line(x[:12], y[:12], np.zeros(12), np.full(12, 0.004))
        truth = 0.1 + 0.9 * x[12] + np.random.default_rng(seed + 10_000).normal(0, 0.02)
        _mean, low, high = found.predict(float(x[12]))
        held += low <= truth <= high
    assert 272 <= held <= 299


def test_a_line_by_hand() -> None:
    found = fit_line(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]), np.zeros(3), np.full(3, 0.1))
    assert found.slope == pytest.approx(2.0)
    assert found.intercept == pytest.approx(1.0)
    assert found.predict(1.0)[0] == pytest.approx(3.0)
    half = stats.t.ppf(0.975, 1) * np.sqrt(0.01 / 3)
    assert found.predict(1.0)[2] == pytest.approx(3.0 + half)


def test_a_slope_that_points_do_not_bound_is_not_bounded() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5) * 0.01, rng.normal(size=5)
    found = fit_line(x, y, np.full(5, 0.1), np.full(5, 2.0))
    assert (found.slope_low, found.slope_high) == (float("-inf"), float("inf"))


def test_too_few_points_are_no_line() -> None:
    with pytest.raises(TooFewPoints, match="2 points"):
        fit_line(np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(TooFewPoints, match="1 different"):
        fit_line(np.ones(5), np.arange(5.0), np.zeros(5), np.zeros(5))


def test_lines_are_plain_data() -> None:
    assert isinstance(fit_line(np.arange(4.0), np.arange(4.0) * 2, np.zeros(4), np.zeros(4)), Line)
