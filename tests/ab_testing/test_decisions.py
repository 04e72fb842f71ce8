"""The policy, rule by rule: what must never promote, what may always take back."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.decisions import Situation, boundary, decide
from ab_testing.evidence import Evidence, MetricEvidence
from infra.contracts import Phase
from infra.settings.ab_testing import AbTestingSettings

RULES = AbTestingSettings(
    ramp_shares=(0.1, 0.5),
    min_people_per_phase=50,
    min_phase_seconds=100.0,
    min_people_per_arm=100,
    min_runtime_seconds=1000.0,
    max_people=10_000,
    max_runtime_seconds=100_000.0,
)
SURE = 10.0


def metric(name: str, **changes: object) -> MetricEvidence:
    known = {m.name: m for m in RULES.metrics}[name]
    guardrail = known.role == "guardrail"
    values: dict[str, object] = {
        "name": name, "role": known.role, "direction": known.direction, "people_challenger": 500,
        "people_control": 500, "rate_challenger": 0.3, "rate_control": 0.2,
        "log_e_better": 0.0 if guardrail else SURE, "log_e_worse": 0.0,
        "log_e_not_inferior": SURE if guardrail else None, "effect": 0.1, "low": 0.05, "high": 0.15,
        "least_people_in_phase": 10,
    }  # fmt: skip
    return MetricEvidence(**(values | changes))  # type: ignore[arg-type]


def evidence(
    love: Mapping[str, object] | None = None, harm: Mapping[str, object] | None = None, **changes: object
) -> Evidence:
    metrics = (metric("love", **(love or {})), metric("harm", **(harm or {})), metric("feedback_rate"))
    values: dict[str, object] = {
        "exposed_challenger": 510, "exposed_control": 490, "flips": 0, "log_e_sample_ratio": 0.0, "metrics": metrics,
    }  # fmt: skip
    return Evidence(**(values | changes))  # type: ignore[arg-type]


def situation(**changes: object) -> Situation:
    values: dict[str, object] = {
        "rules": RULES, "phase": Phase(1, 0.5, 1000.0), "started_at": 0.0, "now": 5010.0, "watermark": 5000.0,
        "proof": "proven", "proof_detail": "", "champion_is_control": True, "challenger_state": "challenger",
        "evidence": evidence(),
    }  # fmt: skip
    return Situation(**(values | changes))  # type: ignore[arg-type]


def test_everything_in_favour_promotes() -> None:
    verdict = decide(situation())
    assert (verdict.kind, verdict.code) == ("promote", "better")
    assert "0.3000 against 0.2000" in verdict.reason


HOLDS: list[tuple[str, dict[str, object]]] = [
    ("no_watermark", {"watermark": None}),
    ("stale", {"now": 5000.0 + RULES.freshness_seconds + 1}),
    ("unproven", {"proof": "waiting"}),
    ("no_evidence", {"evidence": None}),
    ("not_a_number", {"evidence": evidence(unusable="3 frozen values of metric 'love' are not numbers")}),
    ("not_a_number", {"evidence": evidence(love={"log_e_better": None})}),
    ("not_a_number", {"evidence": evidence(log_e_sample_ratio=math.nan)}),
    ("sample_ratio_mismatch", {"evidence": evidence(log_e_sample_ratio=math.log(101))}),
    ("arm_flips", {"evidence": evidence(flips=11)}),
    ("no_values", {"evidence": evidence(love={"people_challenger": 0})}),
    ("no_values", {"evidence": evidence(harm={"people_control": 0})}),
    ("too_few_people", {"evidence": evidence(love={"people_control": 99})}),
    ("too_early", {"watermark": 999.0, "now": 1000.0}),
    ("guardrails_open", {"evidence": evidence(harm={"log_e_not_inferior": 2.9})}),
    ("undecided", {"evidence": evidence(love={"log_e_better": 2.9})}),
]


@pytest.mark.parametrize(("code", "changes"), HOLDS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(HOLDS)])
def test_one_thing_missing_holds(code: str, changes: dict[str, object]) -> None:
    verdict = decide(situation(**changes))
    assert (verdict.kind, verdict.code) == ("hold", code)


STOPS: list[tuple[str, dict[str, object]]] = [
    ("proof_refused", {"proof": "refused"}),
    ("champion_changed", {"champion_is_control": False}),
    ("challenger_withdrawn", {"challenger_state": "refused"}),
    ("max_people", {"evidence": evidence(love={"log_e_better": 0.0, "people_challenger": 9_600})}),
    ("max_runtime", {"evidence": evidence(love={"log_e_better": 0.0}), "watermark": 100_000.0, "now": 100_001.0}),
    (
        "max_runtime",
        {"evidence": evidence(log_e_sample_ratio=9.0), "watermark": 100_000.0, "now": 100_001.0},
    ),
]


@pytest.mark.parametrize(("code", "changes"), STOPS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(STOPS)])
def test_stops_keep_the_champion(code: str, changes: dict[str, object]) -> None:
    verdict = decide(situation(**changes))
    assert (verdict.kind, verdict.code) == ("stop", code)


def test_harm_is_taken_back_even_under_a_mismatch_and_when_early() -> None:
    worse = boundary(RULES.alpha_rollback, 3)
    bad = evidence(harm={"log_e_worse": worse, "people_challenger": 5}, log_e_sample_ratio=9.0)
    assert decide(situation(evidence=bad, watermark=10.0, now=11.0)).kind == "rollback"
    almost = evidence(harm={"log_e_worse": worse - 0.01})
    assert decide(situation(evidence=almost)).kind == "promote"


def test_the_ramp_waits_for_people_time_and_peace() -> None:
    calm = {"log_e_better": 0.0, "least_people_in_phase": 50}
    early = {"phase": Phase(0, 0.1, 1000.0)}
    verdict = decide(situation(evidence=evidence(love=calm), **early))
    assert (verdict.kind, verdict.share) == ("ramp", 0.5)
    fewer = evidence(love=calm | {"least_people_in_phase": 49})
    assert decide(situation(evidence=fewer, **early)).code == "undecided"
    assert decide(situation(evidence=evidence(love=calm), phase=Phase(0, 0.1, 4950.0))).code == "undecided"
    warned = evidence(love=calm, harm={"log_e_worse": boundary(RULES.alpha_rollback, 3) / 2})
    assert decide(situation(evidence=warned, **early)).code == "warned"


def test_boundaries_by_hand() -> None:
    assert math.exp(boundary(0.05, 1)) == pytest.approx(20)
    assert math.exp(boundary(0.05, 3)) == pytest.approx(60)


@given(
    st.sampled_from(["watermark", "evidence"]),
    st.floats(-5, 50),
    st.floats(-5, 50),
)
def test_nothing_blind_ever_promotes(missing: str, love: float, harm: float) -> None:
    seen = evidence(love={"log_e_better": love}, harm={"log_e_not_inferior": harm})
    assert decide(situation(**({"evidence": seen} | {missing: None}))).kind == "hold"
