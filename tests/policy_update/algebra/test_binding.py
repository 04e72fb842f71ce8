"""Functions called by the names of their parameters."""

import pytest

from policy_update.algebra.binding import call, defaults_of, inputs_of, with_numbers


def area(width: float, height: float, *, scale: float = 2.0) -> float:
    return width * height * scale


def test_inputs_and_numbers() -> None:
    assert inputs_of(area) == ("width", "height")
    assert defaults_of(area) == {"scale": 2.0}


def test_call() -> None:
    assert call(area, {"height": 3.0, "width": 5.0, "depth": 7.0}, {}) == 30.0
    assert call(area, {"height": 3.0, "width": 5.0}, {"scale": 1.0, "other": 9.0}) == 15.0
    assert with_numbers(area, {"scale": 0.0})(1.0, 1.0) == 0.0


def test_a_missing_input_is_named() -> None:
    with pytest.raises(KeyError, match="height"):
        call(area, {"width": 5.0}, {})
