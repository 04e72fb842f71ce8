"""People of a fixed-sample test against the textbook."""

import pytest

from infra.statistics import InvalidStatisticsInput, fixed_sample_size


def test_people_by_hand() -> None:
    """(1.645 + .842)^2 = 6.183; .10 -> .12: variance .0978 on average, 4 x .0978 x 6.183 / .0004 = 6,047."""
    assert fixed_sample_size(0.0978, 0.02) == pytest.approx(6047, abs=1)
    assert fixed_sample_size(0.0978, 0.02, correlation=0.5) == pytest.approx(0.75 * fixed_sample_size(0.0978, 0.02))
    assert fixed_sample_size(1.0, 1.0, share=0.05) == pytest.approx(6.1826 / 0.0475, rel=1e-4)


def test_what_cannot_be_planned_is_refused() -> None:
    for bad in ({"effect": 0.0}, {"effect": 1.0, "correlation": 1.0}, {"effect": 1.0, "alpha": 0.6}):
        with pytest.raises(InvalidStatisticsInput):
            fixed_sample_size(1.0, **bad)
