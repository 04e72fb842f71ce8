"""How far the evidence is, and one row in words; numbers by hand."""

import math

import pytest

from ab_testing.discoveries import Allowance
from ab_testing.status import Gauge, explained, gauges, seconds_left
from tests.ab_testing.test_decisions import RULES, evidence, situation
from tests.ab_testing.test_discoveries import ledger

STREAM = Allowance("e_lond", 0.1, 3, 6.0, 0.2)


def test_a_bar_is_the_share_of_the_way() -> None:
    assert Gauge("love", "better", 1.5, 3.0).filled == 0.5
    assert Gauge("love", "better", -1.0, 3.0).filled == 0.0
    assert Gauge("love", "better", 4.0, 3.0).filled == 1.0
    assert Gauge("love", "better", 4.0, 3.0).reached
    assert Gauge("love", "discovery", 40.0, math.inf).filled == 0.0
    assert not Gauge("love", "discovery", None, 3.0).reached


def test_every_test_has_its_boundary() -> None:
    found = {(gauge.metric, gauge.test): gauge.boundary for gauge in gauges(situation(allowed=STREAM))}
    assert found["love", "better"] == pytest.approx(math.log(20))
    assert found["harm", "not_inferior"] == pytest.approx(math.log(20))
    assert found["harm", "worse"] == pytest.approx(math.log(60))
    assert found["all goals", "discovery"] == 6.0
    assert ("harm", "better") not in found
    held = gauges(situation(kind="holdback", champion_is_challenger=True))
    assert {gauge.test for gauge in held} == {"worse"}


def test_the_time_left_at_the_pace_so_far() -> None:
    """5,000 s for 2 of 6 nats: 10,000 s more; what does not grow has no time; the shortest runtime counts."""
    growing = situation(allowed=STREAM, evidence=evidence(love={"log_e_better": 2.0}))
    assert seconds_left({"challenger": growing}) == pytest.approx(10_000)
    falling = situation(evidence=evidence(love={"log_e_better": -0.5}))
    assert seconds_left({"challenger": falling}) is None
    assert seconds_left({"challenger": falling, "challenger-2": growing}) == pytest.approx(10_000)
    early = situation(watermark=400.0, now=401.0)
    assert seconds_left({"challenger": early}) == RULES.min_runtime_seconds - 400
    assert seconds_left({"challenger": situation(evidence=None)}) is None


def test_rows_of_every_shape_are_told() -> None:
    (row,) = ledger(("", "hold", {"code": "discoveries_exhausted", "discovery": {"position": 3}}))
    assert explained(row) == ["hold: "]
