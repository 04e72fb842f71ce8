"""Calibration error without its bias, a test of the right size and power, intervals that hold the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reward_model.calibration import logit, sigmoid
from reward_model.calibration_bins import reliability_diagram
from reward_model.calibration_error import (
    _error_draws,
    calibration_p_value,
    calibration_report,
    debiased_ece,
    debiased_error,
)

Array = NDArray[np.float64]
Sample = tuple[Array, Array, Array, NDArray[np.int64]]


def sample(seed: int, count: int, shift: float = 0.0, people: int = 0, mood: float = 0.0) -> Sample:
    """Targets, probabilities, weights, people. Truth is the probability with `shift` more log-odds; `mood` is the
    standard deviation of what a person adds to all of its own (its mean effect taken out by construction)."""
    rng = np.random.default_rng(seed)
    p = sigmoid(rng.normal(-1.5, 1.0, count))
    who = rng.integers(0, people, count) if people else np.arange(count)
    truth = sigmoid(logit(p) + shift)
    lean = rng.choice([-mood, mood], who.max() + 1)[who] * truth * (1 - truth)
    return (rng.random(count) < truth + lean).astype(float), p, np.ones(count), who


def test_by_hand() -> None:
    """Gaps .3 and .1, variances .25: plain .2; debiased squares .09 - .25 and .01 - .25 sum below 0."""
    y, p = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.2, 0.2, 0.4, 0.4])
    found = reliability_diagram(y, p, np.ones(4), np.arange(4), bins=2)
    assert debiased_error(found) == 0.0
    many = reliability_diagram(np.tile(y, 400), np.tile(p, 400), np.ones(1600), np.arange(1600), bins=2)
    noise = 0.25 / 799
    assert debiased_error(many) == pytest.approx(np.sqrt(0.5 * (0.09 + 0.01) - noise))
    assert debiased_ece(many) == pytest.approx(0.2, abs=1e-4)


def test_the_bias_of_a_perfect_model_goes() -> None:
    plain, squares = [], []
    for seed in range(200):
        found = reliability_diagram(*sample(seed, 600))
        plain.append(found.share @ np.abs(found.gap))
        squares.append(found.share @ (found.gap**2 - found.variance))
    assert np.mean(plain) > 0.03
    assert np.mean(squares) == pytest.approx(0.0, abs=3 * np.std(squares) / np.sqrt(200))


def test_the_true_error_is_found_at_five_thousand_labels() -> None:
    p = sample(0, 200_000)[1]
    truth = float(np.sqrt(np.mean((sigmoid(logit(p) + 0.4) - p) ** 2)))
    found = [debiased_error(reliability_diagram(*sample(seed, 5000, 0.4))) for seed in range(40)]
    assert np.mean(found) == pytest.approx(truth, abs=0.003)


@pytest.mark.parametrize(("people", "mood"), [(0, 0.0), (120, 0.8)])
def test_the_test_has_its_size(people: int, mood: float) -> None:
    """Perfectly calibrated on average, with and without people who judge alike: 5 % rejected, give or take."""
    values = [
        calibration_p_value(*sample(seed, 900, people=people, mood=mood), resamples=199, seed=seed)
        for seed in range(300)
    ]
    rejected = np.mean([value is not None and value < 0.05 for value in values])
    assert 0.015 <= rejected <= 0.095


def test_forgetting_people_would_reject_too_often() -> None:
    rejected = 0
    for seed in range(100):
        y, p, w, _ = sample(seed, 900, people=40, mood=0.9)
        value = calibration_p_value(y, p, w, np.arange(900), resamples=199, seed=seed)
        rejected += value is not None and value < 0.05
    assert rejected > 12


def test_the_test_has_power() -> None:
    values = [calibration_p_value(*sample(seed, 2000, 0.4), resamples=199, seed=seed) for seed in range(40)]
    assert np.mean([value is not None and value < 0.05 for value in values]) > 0.9


def test_it_agrees_with_labels_redrawn_from_the_probabilities() -> None:
    """The consistency resampling of Bröcker & Smith, as an oracle."""
    y, p, w, people = sample(11, 1500, 0.15)
    found = reliability_diagram(y, p, w, people)
    rng, null = np.random.default_rng(1), []
    for _ in range(2000):
        again = reliability_diagram((rng.random(1500) < p).astype(float), p, w, people)
        null.append(again.share @ again.gap**2)
    oracle = float(np.mean(np.array(null) >= found.share @ found.gap**2))
    ours = calibration_p_value(y, p, w, people, resamples=2000)
    assert ours == pytest.approx(oracle, abs=0.05)


def test_too_few_people_are_no_evidence() -> None:
    y, p, w, _ = sample(0, 90)
    assert calibration_p_value(y, p, w, np.arange(90) % 9) is None
    report = calibration_report(y, p, w, np.arange(90) % 9, resamples=100)
    assert not report.calibrated


def test_intervals_hold_the_truth() -> None:
    p = sample(0, 200_000)[1]
    truth = float(np.sqrt(np.mean((sigmoid(logit(p) + 0.4) - p) ** 2)))
    held = 0
    for seed in range(60):
        report = calibration_report(*sample(seed, 2500, 0.4, people=300), resamples=200, seed=seed)
        held += report.error_low <= truth <= report.error_high
    assert held >= 54


def test_resamples_lie_around_the_estimate() -> None:
    """A resample's squares exceed the truth by the variance twice, the sample's and its own: both are taken off."""
    distances, spread = [], []
    for seed in range(20):
        y, p, w, who = sample(seed, 600)
        found = reliability_diagram(y, p, w, who)
        drawn = np.random.default_rng(seed).multinomial(600, np.full(600, 1 / 600), 200).astype(np.float64)
        squares = _error_draws(found, y - p, w, who, drawn)
        distances.append(squares.mean() - found.share @ (found.gap**2 - found.variance))
        spread.append(found.share @ found.variance)
    assert np.mean(distances) == pytest.approx(0.0, abs=0.1 * np.mean(spread))


def test_report_of_a_good_a_shifted_and_a_constant_head() -> None:
    good = calibration_report(*sample(1, 6000, people=700))
    assert (good.calibrated, good.useful) == (True, True)
    assert good.skill_low < good.skill < good.skill_high
    assert good.error_low <= good.error <= good.error_high
    shifted = calibration_report(*sample(1, 6000, 0.6, people=700))
    assert not shifted.calibrated
    assert shifted.error > 0.05
    y, _, w, people = sample(1, 6000)
    constant = calibration_report(y, np.full(6000, y.mean()), w, people)
    assert (constant.calibrated, constant.useful) == (True, False)
    assert constant.document()["calibrated"]


def test_soft_targets_that_match_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(2, 5, 4000)
    soft = np.clip(rng.beta(8 * p, 8 * (1 - p)), 0, 1)
    report = calibration_report(soft, p, rng.uniform(0.5, 2, 4000), rng.integers(0, 400, 4000))
    assert report.p_value is not None
    assert report.p_value > 0.01
    assert report.error < 0.02
