"""Token buckets against an oracle that counts, and their bound on memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.access.limits import Bucket, RateLimited, RateLimiter, refilled, taken


def test_by_hand() -> None:
    limiter = RateLimiter(per_minute=60, burst=3, max_buckets=10)
    assert [limiter.wait("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.wait("a", 0.0) == pytest.approx(1.0)
    assert limiter.wait("a", 0.5) == pytest.approx(0.5)
    assert limiter.wait("a", 1.0) == 0.0
    assert limiter.wait("b", 1.0) == 0.0, "another's bucket is another's"
    assert limiter.wait("a", 100.0) == 0.0
    limiter.require("a", 100.0, "key 'x'")
    limiter.require("a", 100.0, "key 'x'")
    with pytest.raises(RateLimited, match="too often"):
        limiter.require("a", 100.0, "key 'x'")


def test_refill_stops_at_the_burst_and_a_clock_that_steps_back_gives_nothing() -> None:
    assert refilled(Bucket(1.0, 10.0), 12.0, 0.25, 5.0) == Bucket(1.5, 12.0)
    assert refilled(Bucket(1.0, 10.0), 1e9, 0.25, 5.0).tokens == 5.0
    assert refilled(Bucket(1.0, 10.0), 2.0, 0.25, 5.0) == Bucket(1.0, 10.0)
    assert taken(Bucket(1.5, 0.0), 2.0, 0.25) == (Bucket(1.5, 0.0), 2.0)


def test_zero_limits_nothing_and_more_than_the_burst_counts_as_the_burst() -> None:
    free = RateLimiter(0.0, 1, 10)
    assert not free.active
    assert all(free.wait("a", 0.0) == 0.0 for _ in range(1000))
    limiter = RateLimiter(60, 5, 10)
    assert limiter.wait("a", 0.0, 1000.0) == 0.0
    assert limiter.wait("a", 0.0, 1000.0) == pytest.approx(5.0)


def test_memory_is_bounded_and_the_least_recent_is_forgotten() -> None:
    limiter = RateLimiter(60, 1, 2)
    for name in ("a", "b", "a", "c"):
        limiter.wait(name, 0.0)
    assert list(limiter._buckets) == ["a", "c"]


@given(
    steps=st.lists(st.floats(0, 10), min_size=1, max_size=60),
    per_minute=st.floats(1, 600),
    burst=st.integers(1, 20),
)
def test_no_window_admits_more_than_burst_plus_rate_times_time(
    steps: list[float], per_minute: float, burst: int
) -> None:
    limiter = RateLimiter(per_minute, burst, 10)
    now, admitted = 0.0, []
    for step in steps:
        now += step
        wait = limiter.wait("a", now)
        if wait == 0.0:
            admitted.append(now)
        else:
            assert wait <= 60.0 / per_minute + 1e-9, "one token is never further away than one refill"
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            window = admitted[last] - admitted[first]
            assert last - first + 1 <= math.floor(burst + window * per_minute / 60.0 + 1e-6)
