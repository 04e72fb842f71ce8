"""Advice from logged answers: by hand, with its limits, and never more than advice."""

from dataclasses import replace

import numpy as np
import pytest

from infra.settings.policy_gate import GateSettings
from infra.statistics import self_normalised
from policy_update.gating.gate import judge
from policy_update.gating.off_policy import advice, by_person, weights_of
from tests.policy_update.gating.synthetic import evidence, sampled

PEOPLE = np.arange(400)
CLIP = 10.0


def test_weights_by_hand() -> None:
    assert weights_of(np.log([0.5, 2.0, 50.0]), 10.0) == pytest.approx([0.5, 2.0, 10.0])


def test_few_effective_answers_are_no_evidence_and_it_says_so() -> None:
    """One answer with all the weight: 400 logged answers are worth about one."""
    weights = np.full(400, 1e-3)
    weights[0] = 10.0
    found = advice("love", np.ones(400), weights, PEOPLE, 100.0, 0.95, CLIP)
    assert not found.passed
    assert found.group == "advice"
    assert found.reason.startswith("no evidence")
    assert "1 effective answers, of 100 needed" in found.reason


def test_clipped_ips_and_doubly_robust_by_hand() -> None:
    rewards, weights = np.tile([0.0, 1.0], 200), np.tile([0.5, 1.5], 200)
    found = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, CLIP)
    assert found.passed
    assert (found.before, found.after) == (pytest.approx(0.5), pytest.approx(0.75))
    assert found.value == pytest.approx(0.25)
    robust = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, CLIP, (np.full(400, 0.5), np.full(400, 0.6)))
    assert robust.after == pytest.approx(0.6 + np.mean(weights * (rewards - 0.5)))
    assert "doubly robust" in robust.reason


def test_no_answers_are_no_evidence() -> None:
    assert not advice("love", np.zeros(2), np.zeros(2), PEOPLE[:2], 100.0, 0.95, CLIP).passed


def test_ips_finds_the_mean_of_a_policy_that_did_not_answer() -> None:
    """Logged answers of two kinds, liked at 20 % and 80 %; the candidate gives the second kind thrice as often."""
    draw = np.random.default_rng(4)
    kind = draw.random(20_000) < 0.25
    rewards = (draw.random(20_000) < np.where(kind, 0.8, 0.2)).astype(np.float64)
    weights = np.where(kind, 0.75 / 0.25, 0.25 / 0.75)
    found = advice("love", rewards, weights, np.arange(20_000), 100.0, 0.95, CLIP)
    truth = 0.75 * 0.8 + 0.25 * 0.2
    assert found.after == pytest.approx(truth, abs=0.02)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < truth - found.before < found.high < 0.6
    assert f"({self_normalised(rewards, weights).value:.3f} self-normalised)" in found.reason


def test_answers_of_one_person_count_as_one() -> None:
    """Two people, of whom the second, who comes first, has three answers: sums within the person over their number."""
    people, weights = np.array([1, 1, 0, 1]), np.array([2.0, 1.0, 0.5, 0.0])
    rewards, logged, fresh = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.5, 0.2, 0.1, 0.9]), np.full(4, 0.3)
    r, w, both = by_person(rewards, weights, people, (logged, fresh))
    assert w == pytest.approx([1.0, 0.5])
    assert w * r == pytest.approx([2 / 3, 0.5])
    assert both is not None
    assert w * both[0] == pytest.approx([1.2 / 3, 0.05])
    assert both[1] == pytest.approx([0.3, 0.3])


def test_bounds_hold_at_every_look_at_a_growing_log() -> None:
    """People with three answers each and a taste of their own; looks at 100, 200, ..., 600 people, 90 %."""
    draw, missed = np.random.default_rng(8), 0
    for _ in range(40):
        people = np.repeat(np.arange(600), 3)
        taste = draw.beta(1, 1, 600)[people]
        took = draw.random(1800) < 0.5
        rewards = (draw.random(1800) < np.where(took, taste, 0.4)).astype(np.float64)
        weights = np.where(took, 1.5, 0.5)
        looks = [advice("love", *(each[: 300 * k] for each in (rewards, weights, people)), 10.0, 0.9, CLIP)
                 for k in range(1, 7)]  # fmt: skip
        missed += any(not (c.low or 0.0) <= 0.45 + 0.025 - (c.before or 0.0) <= (c.high or 0.0) for c in looks)
    assert missed <= 8


def test_cut_weights_leave_the_bounds_of_the_clipped_mean() -> None:
    rewards, weights = np.tile([0.0, 1.0], 200), np.tile([0.5, 1.5], 200)
    predicted = np.full(400, 0.5), np.full(400, 0.6)
    whole = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, 1.6, predicted)
    cut = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, 1.5, predicted)
    clipped = advice("love", rewards, weights, PEOPLE, 100.0, 0.95, 1.5)
    assert (cut.low, cut.high) == (clipped.low, clipped.high)
    assert (whole.low, whole.high) != (cut.low, cut.high)
    assert cut.after == whole.after


@pytest.mark.parametrize("weight", [1.0, 1e-6])
def test_advice_never_decides(weight: float) -> None:
    for love, passes in ((2.0, True), (0.0, False)):
        body = evidence(sampled(love=love), sampled(seed=1))
        told = advice("love", np.zeros(400), np.full(400, weight), PEOPLE, 100.0, 0.95, CLIP)
        found = judge(replace(body, advice=(told,)), GateSettings())
        assert found.passed is passes
        assert found.document()["advice"][0]["name"] == "off_policy_love"
