"""Asking at random: everybody decides alike, the share is right, and the answers speak for the silent."""

import numpy as np
import pytest

from ingest.selection.solicitation import solicited_rate
from ingest.solicitation import decide


def test_the_decision_is_a_pure_function_at_the_given_rate() -> None:
    decisions = [decide("p", f"r{i}", 0, rate=0.02, salt="s") for i in range(20_000)]
    assert decisions[:100] == [decide("p", f"r{i}", 0, rate=0.02, salt="s") for i in range(100)]
    assert sum(one.asked for one in decisions) / 20_000 == pytest.approx(0.02, abs=0.003)
    assert {one.probability for one in decisions} == {0.02}
    others = [decide("p", f"r{i}", 0, rate=0.02, salt="other").asked for i in range(20_000)]
    both = sum(a.asked and b for a, b in zip(decisions, others, strict=True))
    assert both < 30  # another salt is another draw: .02 * .02 * 20,000 = 8 expected
    assert not decide("p", "r", 0, rate=0.0, salt="s").asked
    assert decide("p", "r", 0, rate=1.0, salt="s").asked


def test_by_hand() -> None:
    found = solicited_rate(
        np.array([0.02, 0.01, 0.02, 0.01]),
        np.array([True, True, False, True]),
        np.array([1.0, 0.0, np.nan, 1.0]),
        np.arange(4),
    )
    assert found is not None
    assert found.rate.mean == pytest.approx((50 + 100) / (50 + 100 + 100))
    assert found.answered == pytest.approx(250 / 300)
    assert found.asked == 4
    assert found.effective_sample_size == pytest.approx(250**2 / (2500 + 10_000 + 10_000))


def test_nobody_answered() -> None:
    assert solicited_rate(np.array([0.1]), np.array([False]), np.array([np.nan]), np.array([0])) is None


def test_it_finds_the_opinion_of_those_who_would_never_volunteer() -> None:
    """60 % of likers volunteer and 10 % of the others; of those asked, 95 % answer whatever they think."""
    draw, covered = np.random.default_rng(8), 0
    for _ in range(40):
        n = 800  # asked
        thought = (draw.random(n) < 0.4).astype(float)
        voted = draw.random(n) < 0.95
        found = solicited_rate(np.full(n, 0.02), voted, np.where(voted, thought, np.nan), np.arange(n))
        assert found is not None
        covered += found.rate.low <= 0.4 <= found.rate.high
        assert found.low <= 0.4 <= found.high
    assert covered >= 35
