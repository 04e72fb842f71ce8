"""Many differences at once: exact by hand on few prompts, one error rate for all columns."""

import numpy as np
import pytest

from policy_update.gating.simultaneous import FLIPS, by_prompt, rises


def test_by_prompt_by_hand() -> None:
    values = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    assert by_prompt(values, np.array([7, 7, 9])).tolist() == [[1.0, 1.0], [-1.0, 1.0]]


def test_p_is_the_share_of_sign_patterns_when_all_prompts_rose() -> None:
    """Six prompts, all up: one pattern out of 2^6 is as extreme."""
    found = rises(np.ones((6, 1)), np.arange(6))
    assert found.rise.tolist() == [1.0]
    assert found.p[0] == pytest.approx(1 / 64, abs=0.006)


def test_a_column_that_never_differs_costs_nothing_and_never_trips() -> None:
    one = rises(np.ones((8, 1)), np.arange(8))
    many = rises(np.hstack([np.ones((8, 1)), np.zeros((8, 30))]), np.arange(8))
    assert many.p[0] == one.p[0]
    assert set(many.p[1:]) == {1.0}


def test_a_fall_is_no_rise() -> None:
    assert rises(-np.ones((10, 1)), np.arange(10)).p[0] == 1.0


def test_answers_of_one_prompt_are_one_witness() -> None:
    """Eight answers to two prompts say no more than two."""
    assert rises(np.ones((8, 1)), np.repeat([0, 1], 4)).p[0] == pytest.approx(1 / 4, abs=0.03)


def test_no_answers_no_rise() -> None:
    assert rises(np.zeros((0, 3)), np.zeros(0, np.int64)).p.tolist() == [1.0, 1.0, 1.0]


def test_p_is_never_zero() -> None:
    assert rises(np.ones((60, 1)), np.arange(60)).p[0] == pytest.approx(1 / (FLIPS + 1))


def test_the_familywise_rate_holds_among_correlated_rare_and_common_columns() -> None:
    """400 null candidates, 18 columns at rates from 0.5 % to 50 %, answers of a prompt alike: at most the error."""
    draw, tripped, error = np.random.default_rng(0), 0, 0.05
    rates = np.geomspace(0.005, 0.5, 18)
    prompt = np.repeat(np.arange(32), 2)
    for seed in range(400):
        inviting = draw.beta(1, 1 / rates - 1, (32, 18))[prompt]
        after, before = (draw.random((64, 18)) < inviting for _ in range(2))
        tripped += bool((rises(after.astype(float) - before, prompt, seed).p <= error).any())
    assert tripped <= 34  # P(Binomial(400, 0.05) > 34) < 1e-3
    assert tripped >= 5, "far under its rate it would see little"
