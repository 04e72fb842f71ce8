"""The chance of a record: by hand, against finite differences, and its limits."""

import numpy as np
import pytest

from reward_model.judgments import gather
from reward_model.rater_likelihood import GRID, likelihood_of

RATE = int(np.argmin(np.abs(GRID - 0.3)))
LIAR = int(np.argmin(np.abs(GRID - 0.9)))


def test_by_hand() -> None:
    judgments = gather(np.array([0, 0]), np.array([1.0, 0.0]))
    r, liar = GRID[RATE], GRID[LIAR]
    found = likelihood_of(judgments, np.array([1.0]), np.log(4.0))
    # habit points at the first (longer) text with 4/5: wrong with 1/5 if the first is better, with 4/5 if the second is
    assert found.first[0, RATE] == pytest.approx(1 - 2 * r * 0.2)
    assert found.second[0, RATE] == pytest.approx(2 * r * 0.8)
    assert found.first[1, RATE] == pytest.approx(2 * r * 0.2)
    assert found.first[1, LIAR] == pytest.approx(1 - 2 * (1 - liar) * 0.8)
    assert found.second[0, LIAR] == pytest.approx(1 - 2 * (1 - liar) * 0.2)
    assert found.first_wrong[0, RATE] == 0.0
    assert found.first_wrong[1, RATE] == found.first[1, RATE]
    assert found.second_wrong[0, RATE] == found.second[0, RATE]


def test_without_habit_it_is_the_rate() -> None:
    found = likelihood_of(gather(np.array([0]), np.array([1.0])), np.array([0.7]), 0.0)
    assert np.allclose(found.first[0], 1 - GRID)
    assert np.allclose(found.second[0], GRID)


def test_slopes_against_finite_differences() -> None:
    judgments = gather(np.array([0, 1, 1]), np.array([1.0, 0.0, 0.7]), weight=np.array([1.0, 0.5, 0.3]))
    x, b, step = np.array([0.4, -0.9]), 0.8, 1e-6
    found = likelihood_of(judgments, x, b)
    up, down = likelihood_of(judgments, x, b + step), likelihood_of(judgments, x, b - step)
    assert np.allclose(found.first_slope, (np.log(up.first) - np.log(down.first)) / (2 * step), atol=1e-6)
    assert np.allclose(found.second_slope, (np.log(up.second) - np.log(down.second)) / (2 * step), atol=1e-6)


def test_a_tie_says_nothing_and_half_a_weight_half() -> None:
    tie = likelihood_of(gather(np.array([0]), np.array([0.5])), np.zeros(1), 0.0)
    assert np.allclose(tie.first, 0.5)
    assert np.allclose(tie.second, 0.5)
    half = likelihood_of(gather(np.array([0]), np.ones(1), weight=np.array([0.5])), np.zeros(1), 0.0)
    assert np.allclose(half.first[0], np.sqrt(1 - GRID))
