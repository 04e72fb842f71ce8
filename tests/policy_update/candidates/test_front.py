import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.statistics import clustered_mean
from policy_update.candidates.front import levels, undominated


def test_levels_tell_probabilities_and_leave_out_what_is_missing() -> None:
    prompt = np.array([0, 0, 1, 1])
    rewards = {"love": np.log(np.array([1.0, 1.0, 3.0, 3.0])), "relevance": np.array([1.0, np.nan, 2.0, 3.0])}
    rewards["nothing"] = np.full(4, np.nan)
    found = levels(rewards, prompt, ["love"], 0.9)
    assert set(found) == {"love", "relevance"}
    assert found["love"]["mean"] == pytest.approx((0.5 + 0.75) / 2)
    expected = clustered_mean(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 1]), confidence=0.9)
    assert found["relevance"] == pytest.approx({"mean": 2.0, "low": expected.low, "high": expected.high})


def test_the_front_by_hand() -> None:
    points = {"base": (0.1, 0.9), "mid": (0.5, 0.5), "worse": (0.4, 0.5), "far": (0.9, 0.1), "same": (0.5, 0.5)}
    assert undominated(points) == ["base", "mid", "far", "same"]
    assert undominated({}) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_front_is_never_empty_and_beats_the_rest(rows: list[tuple[int, int]]) -> None:
    points = {str(number): row for number, row in enumerate(rows)}
    front = undominated(points)
    assert front
    for name in set(points) - set(front):
        assert any(
            a >= b and c >= d and (a, c) != (b, d) for (a, c), (b, d) in ((points[f], points[name]) for f in front)
        )
