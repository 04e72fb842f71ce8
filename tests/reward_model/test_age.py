"""Old opinions count less."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.age import SMALLEST, age_weights


def test_a_half_life_halves() -> None:
    assert age_weights(np.array([100.0, 90.0, 80.0, 70.0]), 10.0).tolist() == [1.0, 0.5, 0.25, 0.125]


def test_without_a_half_life_nothing_ages() -> None:
    assert age_weights(np.array([1.0, 9.0]), 0.0).tolist() == [1.0, 1.0]
    assert age_weights(np.array([1.0, 9.0]), float("inf")).tolist() == [1.0, 1.0]
    assert age_weights(np.zeros(0), 5.0).shape == (0,)


def test_nothing_ages_away_altogether() -> None:
    assert age_weights(np.array([0.0, 1e12]), 1.0)[0] == SMALLEST


@pytest.mark.parametrize("half_life", [-1.0, float("nan")])
def test_impossible_half_lives_are_refused(half_life: float) -> None:
    with pytest.raises(ValueError, match="half_life_seconds is"):
        age_weights(np.array([1.0]), half_life)


def test_an_impossible_instant_is_named() -> None:
    with pytest.raises(ValueError, match=r"times\[1\]"):
        age_weights(np.array([1.0, np.nan]), 1.0)


@given(st.lists(st.floats(0, 2e9), min_size=1, max_size=30), st.floats(1.0, 1e8), st.floats(-1e8, 1e8))
def test_only_differences_of_age_matter_and_order_is_kept(times: list[float], half_life: float, shift: float) -> None:
    found = age_weights(np.array(times), half_life)
    assert found.max() == 1.0
    assert ((found > 0) & (found <= 1)).all()
    order = np.argsort(times, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    # Times of this size carry half a microsecond: what that makes of a weight is far below 1e-6.
    assert age_weights(np.array(times) + shift, half_life) == pytest.approx(found, rel=1e-5)
