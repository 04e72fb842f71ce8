"""The window by size is the window sorted."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from serving.latencies import Latencies


@given(st.lists(st.sampled_from([0.1, 0.2, 0.2000001, 3.0]) | st.floats(0, 1e3), max_size=40), st.integers(1, 8))
def test_ranks_are_those_of_the_newest_ones_sorted(values: list[float], most: int) -> None:
    window, plain = Latencies(most), deque[float](maxlen=most)
    for value in values:
        window.append(value)
        plain.append(value)
        assert [window.ranked(rank) for rank in range(len(window))] == sorted(plain)
    window.clear()
    assert len(window) == 0
