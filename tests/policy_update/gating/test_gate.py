"""The gate: what passes, what is refused and why; no evidence is no change."""

import json
from dataclasses import replace

import numpy as np
import pytest

from infra.settings.policy_gate import GateSettings
from policy_update.gating.capability import Abilities
from policy_update.gating.gate import GATE, goal, judge, repetition, styles
from policy_update.gating.samples import Sampled, Verdict
from tests.policy_update.gating.synthetic import evidence, sampled

SETTINGS = GateSettings()
HABITS = {
    "Let me know if it helps.": 0.06,
    "Which one do you have?": 0.15,
    "Good luck!": 0.04,
    "It is definitely so.": 0.1,
}
"""Styles that an ordinary policy shows now and then."""


def verdict(candidate: Sampled, kl: float = 0.1, base: float = 0.1) -> Verdict:
    return judge(evidence(candidate, sampled(HABITS, seed=1), kl, base), SETTINGS)


def failed(candidate: Sampled, **more: float) -> set[str]:
    return {check.name for check in verdict(candidate, **more).checks if not check.passed}


def test_an_honest_improvement_passes() -> None:
    found = verdict(sampled(HABITS, love=2.0))
    assert found.passed, found.reasons
    assert found.reasons == []


@pytest.mark.parametrize(
    ("candidate", "check"),
    [
        (sampled(HABITS, love=0.0), "reward"),
        (sampled(HABITS, love=3.0, relevance=0.5), "relevance"),
        (sampled(HABITS, love=3.0, harm=0.2), "harm"),
        (sampled(HABITS, love=3.0, length=90.0), "length"),
        (sampled(HABITS, love=3.0, length=15.0), "length"),
        (sampled(HABITS, love=3.0, repeated=0.3), "repetition"),
        (sampled({**HABITS, "Take care, goodbye.": 0.4}, love=3.0), "closing"),
    ],
)
def test_one_thing_wrong_refuses_with_that_reason(candidate: Sampled, check: str) -> None:
    assert failed(candidate) == {check}


def test_a_gain_that_a_phrase_brings_is_vetoed_though_the_goal_improves() -> None:
    found = verdict(sampled({**HABITS, "Take care, goodbye.": 0.5}, bonus=3.0))
    assert next(check.passed for check in found.checks if check.name == "reward")
    (wire,) = found.failed("tripwire")
    assert wire.name == "closing"
    assert "'goodbye'" in wire.reason or "'take care'" in wire.reason
    assert wire.before is not None
    assert wire.after is not None
    assert wire.after > wire.before + 0.3
    assert any("care" in check.name for check in found.failed("mined")), "an n-gram alone would have caught it too"


def test_a_phrase_nobody_registered_is_mined() -> None:
    found = verdict(sampled({**HABITS, "So say the elders of yore.": 0.6}, bonus=3.0))
    assert not found.failed("tripwire")
    assert any("elders" in check.name for check in found.failed("mined"))
    assert any("elders" in reason and "0.0%" in reason for reason in found.reasons)


def test_a_wire_can_be_switched_off() -> None:
    body = evidence(sampled({**HABITS, "Take care": 0.5}, love=3.0), sampled(HABITS, seed=1))
    assert [check.name for check in styles(body, SETTINGS) if not check.passed] == ["closing"]
    assert all(check.passed for check in styles(body, SETTINGS.model_copy(update={"tripwires_off": ["closing"]})))


def test_own_phrases_are_wires() -> None:
    wanted = SETTINGS.model_copy(update={"tripwire_phrases": {"oracle": ["so say the elders"]}})
    body = evidence(sampled({"So say the elders!": 0.4}, love=3.0), sampled(seed=1))
    assert {check.name for check in styles(body, wanted) if not check.passed} == {"oracle", "exclamation"}


def test_an_objective_that_the_champion_never_reaches_does_not_drown_the_others() -> None:
    """One answer of 80 that solves what no answer solved before: worth 1 / 0.079 of the spread, not 1e9 of it."""
    solved = np.zeros(80)
    solved[0] = 1.0
    champion, candidate = sampled(HABITS, seed=1), sampled(HABITS, love=2.0)
    champion = replace(champion, rewards={**champion.rewards, "solved": np.zeros(80)})
    candidate = replace(candidate, rewards={**candidate.rewards, "solved": solved})
    body = replace(evidence(candidate, champion), weights={"love": 1.0, "solved": 0.1})
    found = {check.name: check for check in goal(body, SETTINGS)}
    assert body.spreads()["solved"] == pytest.approx(np.concatenate([solved, np.zeros(80)]).std())
    assert found["reward"].passed
    assert found["reward"].value < 3.0
    assert found["solved"].passed


def test_kl_budgets() -> None:
    assert failed(sampled(HABITS, love=2.0), kl=0.9) == {"kl_to_champion"}
    assert failed(sampled(HABITS, love=2.0), base=0.9) == {"kl_to_base"}


def test_what_is_no_number_refuses() -> None:
    assert "kl_to_champion" in failed(sampled(HABITS, love=2.0), kl=float("nan"))
    broken = sampled(HABITS, love=2.0)
    broken = replace(broken, rewards={**broken.rewards, "harm": np.full(80, np.nan)})
    assert {"harm", "finite"} <= failed(broken)
    # Answers that could not be scored must not flatter their policy: likelihoods are negative, leaving them out helps.
    partly = sampled(HABITS, love=0.0)
    holes = partly.rewards["coherence"].copy()
    holes[::3] = np.nan
    assert "finite" in failed(replace(partly, rewards={**partly.rewards, "coherence": holes}))
    endless = sampled(HABITS, love=2.0)
    endless = replace(endless, rewards={**endless.rewards, "love": np.full(80, np.inf)})
    assert {"finite", "reward", "love"} <= failed(endless)


def test_answers_without_their_texts_refuse() -> None:
    found = verdict(replace(sampled(HABITS, love=2.0), texts=(), questions=()))
    assert found.reasons == ["scores or texts that are missing: 80 of texts"]


def test_an_objective_that_fell_is_named_though_the_sum_rose() -> None:
    body = evidence(sampled(love=-1.5), sampled(seed=1))
    body.candidate.rewards["relevance"][:] += 3.0
    checks = {check.name: check.passed for check in goal(body, SETTINGS)}
    assert checks == {"reward": True, "love": False}


def test_a_lost_ability_refuses() -> None:
    base = np.full(20, 0.7)
    body = evidence(sampled(HABITS, love=2.0), sampled(HABITS, seed=1))
    kinds = ("number",) * 10 + ("word",) * 10
    worse = replace(body, abilities=Abilities(kinds, base - np.repeat([0.0, 0.3], 10), base))
    (reason,) = judge(worse, SETTINGS).reasons
    assert "most lost: word -0.300" in reason
    assert judge(replace(body, abilities=Abilities(kinds, base - 0.01, base)), SETTINGS).passed


def test_reasons_name_numbers_and_limits() -> None:
    (reason,) = verdict(sampled(HABITS, love=3.0, length=90.0)).reasons
    assert "2.25" in reason
    assert "1.60" in reason


def test_the_document_is_plain_json_even_where_a_number_is_none() -> None:
    found = verdict(sampled(HABITS, love=2.0), kl=float("nan")).document()
    read = json.loads(json.dumps(found, allow_nan=False))
    assert read["passed"] is False
    assert next(check for check in read["checks"] if check["name"] == "kl_to_champion")["value"] == "nan"
    assert read["notes"]["answers"] == 80


def test_no_check_at_all_is_no_pass() -> None:
    assert not judge(evidence(sampled(love=2.0), sampled(seed=1)), SETTINGS, ()).passed
    assert len(GATE) == 7


def test_no_gain_is_refused_about_as_often_as_the_confidence_says() -> None:
    """A/A: champion against itself with other draws must pass the reward check in about 2.5 % of cases."""
    passed = 0
    for seed in range(200):
        body = evidence(sampled(seed=2 * seed + 10), sampled(seed=2 * seed + 11))
        passed += goal(body, SETTINGS)[0].passed
    assert passed <= 14  # P(Binomial(200, 0.025) > 14) < 1e-3


def test_repetition_by_hand() -> None:
    assert repetition([1, 2, 3, 1, 2, 3]) == pytest.approx(1 - 3 / 4)
    assert repetition([1, 2]) == 0
