"""Whatever a scorer says, what is weighted lies in [-1, 1], in the same order."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_update.rewards.bounds import BOUNDS, bounded

VALUES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("bound", "values", "expected"),
    [
        ("tanh", [0.0, 2.0], [0.0, math.tanh(1.0)]),
        ("sigmoid", [0.0, 2.0 * math.log(3.0)], [0.5, 0.75]),
        ("clip", [-9.0, 1.0, 9.0], [-1.0, 0.5, 1.0]),
    ],
)
def test_golden(bound: str, values: list[float], expected: list[float]) -> None:
    assert bounded(np.array(values), bound, 2.0) == pytest.approx(expected)


@given(values=VALUES, bound=st.sampled_from(sorted(BOUNDS)), scale=st.floats(0.01, 100.0))
def test_within_one_of_zero_and_monotone(values: list[float], bound: str, scale: float) -> None:
    given_, found = np.array(values), bounded(np.array(values), bound, scale)
    assert (np.isnan(found) == np.isnan(given_)).all()
    kept = ~np.isnan(given_)
    assert (np.abs(found[kept]) <= 1.0).all()
    order = np.argsort(given_[kept], kind="stable")
    assert (np.diff(found[kept][order]) >= 0).all()


def test_a_quotient_beyond_all_numbers_is_at_the_end_of_its_bound() -> None:
    with np.errstate(over="raise"):
        for bound, most in (("tanh", 1.0), ("sigmoid", 1.0), ("clip", 1.0)):
            assert bounded(np.array([1e300]), bound, 1e-100).tolist() == [most]
