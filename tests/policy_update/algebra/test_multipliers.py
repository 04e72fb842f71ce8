"""Dual ascent by hand."""

import math

import pytest

from policy_update.algebra.multipliers import update_multipliers


def test_up_when_broken_down_when_kept() -> None:
    found = update_multipliers(
        {"harm": 0.5, "length": 0.1}, {"harm": 0.05, "length": 0.0}, {"harm": 0.02, "length": 0.3}, 2.0
    )
    assert found == pytest.approx({"harm": 0.56, "length": 0.0})  # never below 0


def test_starts_at_zero_and_stops_at_the_ceiling() -> None:
    assert update_multipliers({}, {"harm": 0.5}, {"harm": 0.02}, 1.0) == pytest.approx({"harm": 0.48})
    assert update_multipliers({"harm": 9.9}, {"harm": 1.0}, {"harm": 0.0}, 5.0) == {"harm": 10.0}


def test_a_rate_nobody_knows_moves_nothing() -> None:
    assert update_multipliers({"harm": 0.5}, {}, {"harm": 0.02}, 1.0) == {"harm": 0.5}
    assert update_multipliers({"harm": 0.5}, {"harm": math.nan}, {"harm": 0.02}, 1.0) == {"harm": 0.5}


def test_it_finds_the_price_that_keeps_a_limit() -> None:
    """A rate that falls as its price rises comes to rest on its limit."""
    multipliers: dict[str, float] = {}
    for _ in range(400):
        rates = {"harm": 0.2 * math.exp(-multipliers.get("harm", 0.0))}
        multipliers = update_multipliers(multipliers, rates, {"harm": 0.02}, 1.0)
    assert multipliers["harm"] == pytest.approx(math.log(10), abs=0.01)
