"""Caps: by hand, and against a slow count of every window."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.trust.caps import busiest_window, cap_factors


def test_two_hundred_votes_weigh_no_more_than_the_cap() -> None:
    factors = cap_factors(np.array([0, 1, 30, 31, 200]), 30.0)
    assert factors.tolist() == [1.0, 1.0, 1.0, 30 / 31, 0.15]


def test_the_busiest_window_by_hand() -> None:
    person = np.array([0, 0, 0, 0, 1, 1])
    at = np.array([0.0, 5.0, 9.0, 10.0, 3.0, 13.0])
    # Person 0: [0, 10) holds 0, 5, 9; [5, 15) holds 5, 9, 10. Person 1: 13 is outside [3, 13).
    assert busiest_window(person, at, 3, 10.0).tolist() == [3, 1, 0]
    assert busiest_window(person, at, 3, 10.5).tolist() == [4, 2, 0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=40),
    st.integers(1, 20),
)
def test_the_busiest_window_is_the_greatest_of_all_windows(votes: list[tuple[int, int]], window: int) -> None:
    person, at = np.array([v[0] for v in votes], np.int64), np.array([float(v[1]) for v in votes])
    slow = [
        max((sum(p == q and t <= u < t + window for q, u in votes) for p, t in votes if p == who), default=0)
        for who in range(4)
    ]
    assert busiest_window(person, at, 4, float(window)).tolist() == slow
