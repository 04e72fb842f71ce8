"""People of a fixed-sample test against the textbook, and of a sequential one against an independent oracle."""

import math

import numpy as np
import pytest
from scipy.stats import invgauss

from infra.statistics import (
    InvalidStatisticsInput,
    chance_to_reach,
    evidence_rate,
    fixed_sample_size,
    linearised,
    people_to_reach,
)


def test_people_by_hand() -> None:
    """(1.645 + .842)^2 = 6.183; .10 -> .12: variance .0978 on average, 4 x .0978 x 6.183 / .0004 = 6,047."""
    assert fixed_sample_size(0.0978, 0.02) == pytest.approx(6047, abs=1)
    assert fixed_sample_size(0.0978, 0.02, correlation=0.5) == pytest.approx(0.75 * fixed_sample_size(0.0978, 0.02))
    assert fixed_sample_size(1.0, 1.0, share=0.05) == pytest.approx(6.1826 / 0.0475, rel=1e-4)


def test_what_cannot_be_planned_is_refused() -> None:
    for bad in ({"effect": 0.0}, {"effect": 1.0, "correlation": 1.0}, {"effect": 1.0, "alpha": 0.6}):
        with pytest.raises(InvalidStatisticsInput):
            fixed_sample_size(1.0, **bad)


def test_evidence_a_person_by_hand() -> None:
    """.02^2 / 4 / (2 x .0978) nats a person; times N it is 6.1826 / 2."""
    rate = evidence_rate(0.0978, 0.02)
    assert rate == pytest.approx(0.0004 / 4 / (2 * 0.0978))
    assert rate * fixed_sample_size(0.0978, 0.02) == pytest.approx(6.1826 / 2, rel=1e-4)
    assert evidence_rate(0.0978, 0.02, correlation=0.5) == pytest.approx(rate / 0.75)


@pytest.mark.parametrize("people", [200, 1000, 5000])
def test_the_time_to_a_boundary_is_inverse_gaussian(people: int) -> None:
    """A Brownian motion with drift g and variance 2 g reaches b at a time with mean b / g and shape b^2 / (2 g)."""
    rate, needed = 0.002, math.log(20 / 0.8)
    mean, shape = needed / rate, needed**2 / (2 * rate)
    expected = invgauss.cdf(people, mean / shape, scale=shape)
    assert chance_to_reach(math.log(20), people, rate, wealth=0.8) == pytest.approx(expected, rel=1e-9)


def test_people_and_chance_are_inverse_to_each_other() -> None:
    people = people_to_reach(math.log(20), 0.002, power=0.8, wealth=0.8)
    assert chance_to_reach(math.log(20), people, 0.002, wealth=0.8) == pytest.approx(0.8)
    assert people_to_reach(-1.0, 0.002) == 0.0
    assert chance_to_reach(math.log(20), 0, 0.002) == 0.0
    for bad in ({"rate": 0.0}, {"rate": 0.1, "wealth": 0.0}, {"rate": 0.1, "power": 1.0}):
        with pytest.raises(InvalidStatisticsInput):
            people_to_reach(3.0, **bad)


def test_a_ratio_as_one_number_a_person() -> None:
    """R = 3 / 6; (1 - .5) / 2, (0 - .5) / 2 and (2 - 2) / 2 about it, times 2 / 2."""
    assert linearised(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 4.0])).tolist() == [0.75, 0.25, 0.5]
    with pytest.raises(InvalidStatisticsInput, match="denominators"):
        linearised(np.zeros(2), np.zeros(2))
