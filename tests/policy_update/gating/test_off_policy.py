"""Advice from logged answers: by hand, with its limits, and never more than advice."""

from dataclasses import replace

import numpy as np
import pytest

from infra.settings.policy_gate import GateSettings
from policy_update.gating.gate import judge
from policy_update.gating.off_policy import advice, weights_of
from tests.policy_update.gating.synthetic import evidence, sampled

PEOPLE = np.arange(400)


def test_weights_by_hand() -> None:
    assert weights_of(np.log([0.5, 2.0, 50.0]), 10.0) == pytest.approx([0.5, 2.0, 10.0])


def test_few_effective_answers_are_no_evidence_and_it_says_so() -> None:
    """One answer with all the weight: 400 logged answers are worth about one."""
    weights = np.full(400, 1e-3)
    weights[0] = 10.0
    found = advice("love", np.ones(400), weights, PEOPLE, 100.0, 0.95)
    assert not found.passed
    assert found.group == "advice"
    assert found.reason.startswith("no evidence")
    assert "1 effective answers, of 100 needed" in found.reason


def test_clipped_ips_and_doubly_robust_by_hand() -> None:
    rewards, weights = np.tile([0.0, 1.0], 200), np.tile([0.5, 1.5], 200)
    found = advice("love", rewards, weights, PEOPLE, 100.0, 0.95)
    assert found.passed
    assert (found.before, found.after) == (pytest.approx(0.5), pytest.approx(0.75))
    assert found.value == pytest.approx(0.25)
    robust = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, (np.full(400, 0.5), np.full(400, 0.6)))
    assert robust.after == pytest.approx(0.6 + np.mean(weights * (rewards - 0.5)))
    assert "doubly robust" in robust.reason


def test_no_answers_are_no_evidence() -> None:
    assert not advice("love", np.zeros(2), np.zeros(2), PEOPLE[:2], 100.0, 0.95).passed


def test_ips_finds_the_mean_of_a_policy_that_did_not_answer() -> None:
    """Logged answers of two kinds, liked at 20 % and 80 %; the candidate gives the second kind thrice as often."""
    draw = np.random.default_rng(4)
    kind = draw.random(20_000) < 0.25
    rewards = (draw.random(20_000) < np.where(kind, 0.8, 0.2)).astype(np.float64)
    weights = np.where(kind, 0.75 / 0.25, 0.25 / 0.75)
    found = advice("love", rewards, weights, np.arange(20_000), 100.0, 0.95)
    assert found.after == pytest.approx(0.75 * 0.8 + 0.25 * 0.2, abs=0.02)


@pytest.mark.parametrize("weight", [1.0, 1e-6])
def test_advice_never_decides(weight: float) -> None:
    for love, passes in ((2.0, True), (0.0, False)):
        body = evidence(sampled(love=love), sampled(seed=1))
        told = advice("love", np.zeros(400), np.full(400, weight), PEOPLE, 100.0, 0.95)
        found = judge(replace(body, advice=(told,)), GateSettings())
        assert found.passed is passes
        assert found.document()["advice"][0]["name"] == "off_policy_love"
