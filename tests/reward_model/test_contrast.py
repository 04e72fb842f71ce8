"""The slope within groups, against hand-worked numbers, scipy and data of a known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from reward_model.calibration import choose_calibration
from reward_model.contrast import fit_contrast

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
TEN = np.repeat(np.arange(10), 2)
PAIRS = np.tile([0.2, 0.4], 10)


def test_twice_the_difference_by_hand() -> None:
    """Ten pairs of probabilities .2 and .4 whose targets are .1 and .5: no pair says anything but 2."""
    assert fit_contrast(PAIRS, np.tile([0.1, 0.5], 10), np.ones(20), TEN) == pytest.approx(2.0)


def test_doubt_draws_it_towards_one() -> None:
    """Five pairs say 1 and five say 3. Each has sum p^2 = .02 and a rest of -+.02, so s^2 = 10/9 x 10 x .02^2 / .2^2 =
    1/9, and with a prior of .1: 1 + (2 - 1) x .01 / (.01 + 1/9)."""
    targets = np.concatenate([np.tile([0.2, 0.4], 5), np.tile([0.1, 0.7], 5)])
    assert fit_contrast(PAIRS, targets, np.ones(20), TEN) == pytest.approx(1 + 0.01 / (0.01 + 1 / 9))


@pytest.mark.parametrize("groups", [TEN // 2, np.arange(20), np.arange(20) // 19])
def test_too_few_groups_say_nothing(groups: Ints) -> None:
    """Five groups; groups of one row each; one of 19 rows and one of one."""
    assert fit_contrast(PAIRS, np.tile([0.1, 0.5], 10), np.ones(20), groups) == 1.0


def test_equal_probabilities_say_nothing() -> None:
    flat = np.full(40, 1 / 3)
    assert fit_contrast(flat, np.tile([0.1, 0.5], 20), np.ones(40), np.arange(40) // 2) == 1.0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), unit=st.floats(1e-3, 1e3))
def test_what_a_group_has_in_common_does_not_matter(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 15, 120)
    p, y, w = rng.random(120), rng.random(120), rng.uniform(0.1, 1, 120)
    order = rng.permutation(120)
    level, other = rng.normal(size=15)[groups], rng.normal(size=15)[groups]
    again = fit_contrast((p + level)[order], (y + other)[order], unit * w[order], 7 - groups[order])
    assert again == pytest.approx(fit_contrast(p, y, w, groups), abs=1e-8)


def test_a_calibration_that_was_spoilt_between_questions_is_told_by_it() -> None:
    """Logits are true within questions and noise between them, so that the best sigmoid of all is too flat: on new
    answers to new questions, differences times the contrast are true, and differences alone are not."""
    logits, targets, groups, _ = asked(400, seed=1)
    calibration = choose_calibration(logits, targets, np.ones(len(targets)), groups=groups).calibration
    new_logits, _, new_groups, truth = asked(400, seed=2)
    said = calibration.apply(new_logits)
    true = fit_contrast(said, truth, np.ones(len(said)), new_groups)
    assert true > 1.1
    assert calibration.contrast == pytest.approx(true, abs=0.06)
    assert calibration.contrast > 1.08


def test_a_head_that_is_true_everywhere_has_a_contrast_of_one() -> None:
    rng = np.random.default_rng(4)
    logits, groups = rng.normal(size=8000), np.repeat(np.arange(400), 20)
    targets = (rng.random(8000) < expit(logits)).astype(np.float64)
    found = choose_calibration(logits, targets, np.ones(8000), groups=groups).calibration
    assert found.contrast == pytest.approx(1.0, abs=0.05)
    assert found.apply(logits) == pytest.approx(expit(found.slope * logits + found.offset))


def asked(questions: int, seed: int) -> tuple[Array, Array, Ints, Array]:
    """(logits, likes, question, P(like)) [20 questions]: log-odds are those of the answer; what the logit says of the
    question beside it is made up."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(questions), 20)
    own = rng.normal(size=len(group))
    chance = np.asarray(expit(own), np.float64)
    made_up = rng.normal(0, 0.5, questions)[group]
    return own + made_up, (rng.random(len(group)) < chance).astype(np.float64), group, chance
