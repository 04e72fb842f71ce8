"""Labels are people times questions: variances clustered both ways, against brute force and against known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reward_model.brier import brier_parts
from reward_model.calibration import logit, sigmoid
from reward_model.calibration_bins import (
    Array,
    Ints,
    InvalidCalibrationCheck,
    clusterings,
    covariance,
    reliability_diagram,
)
from reward_model.calibration_error import calibration_p_value, calibration_report

Sample = tuple[Array, Array, Array, NDArray[np.int64], NDArray[np.int64]]


def asked(seed: int, *, rows: int = 3000, questions: int = 60, offset: float = 0.6, shift: float = 0.0) -> Sample:
    """Targets, probabilities, weights, people and questions. The predictor knows all but what a question adds to the
    log-odds of every answer to it, +-`offset` with even odds, and says the mean of the two: it is perfectly calibrated
    over questions, but for `shift` in log-odds."""
    rng = np.random.default_rng(seed)
    question = rng.integers(0, questions, rows)
    known = rng.normal(-0.5, 1.0, rows)
    p = (sigmoid(known - offset) + sigmoid(known + offset)) / 2
    truth = sigmoid(known + rng.choice([-offset, offset], questions)[question])
    y = (rng.random(rows) < truth).astype(float)
    return y, sigmoid(logit(p) - shift), np.ones(rows), rng.integers(0, rows // 8, rows), question


def test_by_hand() -> None:
    """Errors .3 .1 -.1 -.3 in one bin, people a a b b, questions 1 2 1 2: V = 2 (.16 + .16) / 16 by person, 2 (.04 +
    .04) / 16 by question, 4/3 (.09 + .01 + .01 + .09) / 16 by both: .04 + .01 - 1/60."""
    y, people, questions = np.array([0.8, 0.6, 0.4, 0.2]), np.array([7, 7, 9, 9]), np.array([1, 2, 1, 2])
    found = reliability_diagram(y, np.full(4, 0.5), np.ones(4), people, 1, questions=questions)
    assert found.variance == pytest.approx([0.04 + 0.01 - 1 / 60])
    assert found.variance_observed == pytest.approx(found.variance)
    assert reliability_diagram(y, np.full(4, 0.5), np.ones(4), people, 1).variance == pytest.approx([0.04])


def brute_force(errors: Array, weights: Array, index: Ints, ways: tuple[tuple[float, Ints], ...]) -> Array:
    """[B, B]: sum over all pairs of rows of one cluster, bin by bin, of the products of their scores."""
    bins = int(index.max()) + 1
    found = np.zeros((bins, bins))
    for sign, codes in ways:
        scores, factor = np.zeros(len(errors)), np.zeros(bins)
        for b in range(bins):
            rows = index == b
            mass, count = weights[rows].sum(), len(set(codes[rows].tolist()))
            scores[rows] = weights[rows] * (errors[rows] - np.average(errors[rows], weights=weights[rows])) / mass
            factor[b] = count / (count - 1) if count > 1 else 0.0
        for i in range(len(errors)):
            for j in range(len(errors)):
                if codes[i] == codes[j]:
                    scale = np.sqrt(factor[index[i]] * factor[index[j]])
                    found[index[i], index[j]] += sign * scale * scores[i] * scores[j]
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_the_sum_over_all_pairs_that_share_a_person_or_a_question(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p, w = rng.random(24), rng.random(24), rng.uniform(0.2, 3, 24)
    people, questions = rng.integers(0, 5, 24), rng.integers(0, 4, 24)
    found = reliability_diagram(y, p, w, people, 3, questions=questions)
    names = [f"{a},{b}" for a, b in zip(people, questions, strict=True)]
    both = np.unique(names, return_inverse=True)[1]
    expected = brute_force(y - p, w, found.index, ((1.0, people), (1.0, questions), (-1.0, both)))
    assert covariance(y - p, w, found.index, clusterings(people, questions)) == pytest.approx(expected)
    assert found.variance == pytest.approx(np.diag(expected))
    swapped = reliability_diagram(y, p, w, questions, 3, questions=people)
    assert swapped.variance == pytest.approx(found.variance)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_questions_asked_once_or_of_one_person_change_nothing(seed: int, once: bool) -> None:
    rng = np.random.default_rng(seed)
    y, p, w, people = rng.random(60), rng.random(60), rng.uniform(0.2, 3, 60), rng.integers(0, 12, 60)
    questions = rng.permutation(60) if once else people * 3 + rng.integers(0, 3, 60)
    one, two = (reliability_diagram(y, p, w, people, 4, questions=q) for q in (None, questions))
    assert two.variance == pytest.approx(one.variance)
    assert two.variance_observed == pytest.approx(one.variance_observed)
    parts, without = (brier_parts(y, p, w, people, 4, questions=q) for q in (questions, None))
    assert parts.reliability == pytest.approx(without.reliability)
    assert parts.resolution == pytest.approx(without.resolution)
    assert parts.uncertainty == pytest.approx(without.uncertainty)


def test_a_calibrated_predictor_is_not_charged_for_the_draw_of_questions() -> None:
    """Mean debiased square over worlds: nothing two-way, the questions' variance by person alone."""
    one_way, two_way, plain = [], [], []
    for seed in range(150):
        y, p, w, people, questions = asked(seed, rows=6000, questions=40, offset=0.8)
        for found, into in (
            (reliability_diagram(y, p, w, people), one_way),
            (reliability_diagram(y, p, w, people, questions=questions), two_way),
        ):
            into.append(float(found.share @ (found.gap**2 - found.variance)))
        plain.append(float(found.share @ found.gap**2))
    error = 3 * np.std(two_way) / np.sqrt(150)
    assert np.mean(two_way) == pytest.approx(0.0, abs=error)
    assert np.mean(one_way) > 2 * error
    assert np.mean(one_way) > 0.15 * np.mean(plain)


def test_a_true_error_is_still_found() -> None:
    """Half a log-odds off: both estimators see it; only the one-way adds the questions to it."""
    p = asked(0, rows=200_000, questions=50_000)[1]
    truth = float(np.mean((sigmoid(logit(p) - 0.5) - p) ** 2))
    squares = []
    for seed in range(100):
        y, p, w, people, questions = asked(seed, shift=0.5)
        found = reliability_diagram(y, p, w, people, questions=questions)
        squares.append(float(found.share @ (found.gap**2 - found.variance)))
    assert np.mean(squares) == pytest.approx(truth, abs=3 * np.std(squares) / np.sqrt(100) + 0.02 * truth)


def test_the_test_has_its_size_where_questions_have_offsets() -> None:
    rejected = np.zeros(2)
    for seed in range(120):
        y, p, w, people, questions = asked(seed, rows=1500)
        for place, codes in enumerate((None, questions)):
            value = calibration_p_value(y, p, w, people, questions=codes, resamples=199, seed=seed)
            rejected[place] += value is not None and value < 0.05
    assert rejected[1] <= 0.12 * 120
    assert rejected[0] > 2 * max(rejected[1], 6)


def test_intervals_hold_the_truth() -> None:
    """Of the error half a log-odds off, and of the skill, both over questions: 95 %, give or take."""
    big = asked(1, rows=200_000, questions=100_000, shift=0.5)
    truth = float(np.sqrt(np.mean((sigmoid(logit(big[1]) + 0.5) - big[1]) ** 2)))
    skill = 1 - np.mean((big[0] - big[1]) ** 2) / np.mean((big[0] - 0.4) ** 2)
    held = np.zeros(3)
    for seed in range(100):
        y, p, w, people, questions = asked(seed, rows=2000, shift=0.5)
        two, one = (
            calibration_report(y, p, w, people, questions=codes, base_rate=0.4, resamples=200, seed=seed)
            for codes in (questions, None)
        )
        held += [
            two.error_low <= truth <= two.error_high,
            two.skill_low <= skill <= two.skill_high,
            one.skill_low <= skill <= one.skill_high,
        ]
    assert held[0] >= 88
    assert held[1] >= 88
    assert held[2] < held[1] - 5


def test_the_report_gives_both_figures() -> None:
    y, p, w, people, questions = asked(3, shift=0.3)
    report = calibration_report(y, p, w, people, questions=questions, resamples=100)
    alone = calibration_report(y, p, w, people, resamples=100)
    assert (report.questions, alone.questions) == (60, 0)
    assert report.error_by_person == alone.error == alone.error_by_person
    assert report.error < report.error_by_person
    assert report.document()["questions"] == 60


def test_few_questions_are_no_evidence_and_lengths_must_agree() -> None:
    y, p, w, people, questions = asked(0, rows=400)
    assert calibration_p_value(y, p, w, people, questions=questions % 9) is None
    with pytest.raises(InvalidCalibrationCheck, match="399 questions"):
        reliability_diagram(y, p, w, people, questions=questions[1:])
