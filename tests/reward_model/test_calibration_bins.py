"""Bins of equal mass and variances clustered by person, against hand and a textbook formula."""

import numpy as np
import pytest

from reward_model.calibration_bins import InvalidCalibrationCheck, reliability_diagram


def test_two_bins_by_hand() -> None:
    """Errors .8, -.2 | .6, -.4: gaps .3 and .1, scatter +-.5 in each, variance 2/1 x .5 / 4 = .25."""
    p, y = np.array([0.2, 0.2, 0.4, 0.4]), np.array([1.0, 0.0, 1.0, 0.0])
    found = reliability_diagram(y, p, np.ones(4), np.arange(4), bins=2)
    assert found.share == pytest.approx([0.5, 0.5])
    assert found.predicted == pytest.approx([0.2, 0.4])
    assert found.observed == pytest.approx([0.5, 0.5])
    assert found.gap == pytest.approx([0.3, 0.1])
    assert found.variance == pytest.approx([0.25, 0.25])
    assert found.index.tolist() == [0, 0, 1, 1]


def test_independent_rows_have_the_binomial_variance() -> None:
    y = np.array([1.0, 0, 0, 0, 1, 0, 0, 1, 0, 0])
    found = reliability_diagram(y, np.full(10, 0.25), np.ones(10), np.arange(10))
    assert len(found.share) == 1
    assert found.variance[0] == pytest.approx(0.3 * 0.7 / 9)


def test_a_person_who_repeats_himself_is_one_voice() -> None:
    p, y = np.array([0.3, 0.3, 0.3, 0.3]), np.array([1.0, 0.0, 0.0, 1.0])
    alone = reliability_diagram(y, p, np.ones(4), np.arange(4))
    copied = reliability_diagram(np.repeat(y, 7), np.repeat(p, 7), np.ones(28), np.repeat(np.arange(4), 7))
    assert copied.variance == pytest.approx(alone.variance)
    weighted = reliability_diagram(y, p, np.full(4, 7.0), np.arange(4))
    assert weighted.variance == pytest.approx(alone.variance)


def test_equal_probabilities_share_a_bin() -> None:
    found = reliability_diagram(np.zeros(9), np.repeat([0.1, 0.5, 0.9], 3), np.ones(9), np.arange(9), bins=15)
    assert found.predicted == pytest.approx([0.1, 0.5, 0.9])


def test_a_bin_of_one_person_has_no_variance() -> None:
    found = reliability_diagram(np.array([1.0, 0.0]), np.array([0.1, 0.9]), np.ones(2), np.zeros(2, np.int64), bins=2)
    assert found.variance.tolist() == [0.0, 0.0]


def test_bins_hold_like_masses() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 3, 5000)
    found = reliability_diagram(np.zeros(5000), rng.beta(1, 9, 5000), weights, np.arange(5000), bins=10)
    assert found.share == pytest.approx(np.full(10, 0.1), abs=0.002)
    assert (np.diff(found.predicted) > 0).all()


@pytest.mark.parametrize(
    ("column", "value", "said"), [(0, np.nan, "targets"), (1, 1.2, "probabilities"), (2, 0.0, "weights")]
)
def test_a_broken_row_is_named(column: int, value: float, said: str) -> None:
    columns = [np.full(5, 0.5), np.full(5, 0.5), np.ones(5)]
    columns[column][3] = value
    with pytest.raises(InvalidCalibrationCheck, match="row 3") as caught:
        reliability_diagram(columns[0], columns[1], columns[2], np.arange(5))
    assert caught.value.field == said


def test_nothing_is_refused() -> None:
    with pytest.raises(InvalidCalibrationCheck, match="one row or more"):
        reliability_diagram(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
