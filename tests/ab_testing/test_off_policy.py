"""Advice before exposure: shown where it is evidence, withheld where it is not."""

import numpy as np
import pytest

from ab_testing.off_policy import gate_advice, logged_advice
from infra.statistics import InvalidStatisticsInput


def test_the_gate_document_is_surfaced_or_withheld() -> None:
    check = {"name": "off_policy_love", "passed": True, "value": 0.1, "low": -0.05, "high": 0.25, "limit": 100.0,
             "reason": "advice: love by clipped IPS", "group": "advice", "before": 0.3, "after": 0.4}  # fmt: skip
    few = {**check, "name": "off_policy_harm", "passed": False, "reason": "no evidence: 12 effective answers"}
    broken = {**check, "name": "off_policy_share", "value": "nan"}
    found = gate_advice({"advice": [check, few, broken, {"name": "other"}, "x"]})
    assert found == {
        "love": {"logged": 0.3, "estimated": 0.4, "difference": 0.1, "low": -0.05, "high": 0.25,
                 "reason": "advice: love by clipped IPS"},
        "harm": {"withheld": "no evidence: 12 effective answers"},
        "share": {"withheld": "advice: love by clipped IPS"},
    }  # fmt: skip
    assert gate_advice({}) == gate_advice({"advice": None}) == {}


def test_log_probabilities_give_bounds_that_hold_the_truth() -> None:
    """Two answers to each prompt: drawn with probability 1/2 each, the challenger gives the good one in 3 of 4."""
    rng = np.random.default_rng(4)
    good = rng.random(4000) < 0.5
    rewards = (rng.random(4000) < np.where(good, 0.6, 0.2)).astype(float)
    logged, new = np.full(4000, np.log(0.5)), np.log(np.where(good, 0.75, 0.25))
    found = logged_advice(rewards, logged, new)
    truth = 0.75 * 0.6 + 0.25 * 0.2
    assert found.clipped_bounds is not None
    assert found.clipped_bounds[0] < truth < found.clipped_bounds[1]
    assert found.self_normalised == pytest.approx(truth, abs=0.03)
    assert found.effective_sample_size == pytest.approx(4000 / 1.25, rel=0.05)


def test_few_effective_answers_are_neither_pass_nor_veto() -> None:
    rng = np.random.default_rng(5)
    found = logged_advice(np.ones(500), np.zeros(500), 3 * rng.normal(size=500))
    assert found.withheld
    assert (found.clipped, found.self_normalised, found.doubly_robust) == (None, None, None)
    with pytest.raises(InvalidStatisticsInput, match="finite log-probability"):
        logged_advice(np.ones(2), np.zeros(2), np.array([0.0, np.nan]))
