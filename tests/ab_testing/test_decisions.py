"""The policy, rule by rule: what must never promote, what may always take back."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.decisions import Situation, Verdict, boundary, decide, decide_among, passing
from ab_testing.discoveries import Allowance
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
QUIET = RULES.model_copy(update={"metric_silence_seconds": 10.5})


def metric(name: str, **changes: object) -> MetricEvidence:
    known = {m.name: m for m in RULES.metrics}[name]
    guardrail = known.role == "guardrail"
    values: dict[str, object] = {
        "name": name, "role": known.role, "direction": known.direction, "people_challenger": 500,
        "people_control": 500, "rate_challenger": 0.3, "rate_control": 0.2,
        "log_e_better": 0.0 if guardrail else SURE, "log_e_worse": 0.0,
        "log_e_not_inferior": SURE if guardrail else None, "effect": 0.1, "low": 0.05, "high": 0.15,
        "least_people_in_phase": 10, "effect_without_top": 0.1, "effect_late": 0.1, "newest_challenger": 4990.0,
        "newest_control": 4990.0,
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
    ("sample_ratio_mismatch", {"evidence": evidence(log_e_sample_ratio=math.log(201))}),
    ("arm_flips", {"evidence": evidence(flips=11)}),
    ("no_values", {"evidence": evidence(love={"people_challenger": 0})}),
    ("no_values", {"evidence": evidence(harm={"people_control": 0})}),
    ("too_few_people", {"evidence": evidence(love={"people_control": 99})}),
    ("too_early", {"watermark": 999.0, "now": 1000.0}),
    ("guardrails_open", {"evidence": evidence(harm={"log_e_not_inferior": 2.9})}),
    ("undecided", {"evidence": evidence(love={"log_e_better": 2.9})}),
    ("clock_behind", {"now": 999.0, "watermark": 990.0}),
    ("control_tripped", {"control_trips": ("one: 40 % of answers failed",)}),
    ("paused", {"paused_at": 4000.0}),
    ("not_a_number", {"evidence": evidence(harm={"log_e_worse": math.nan})}),
    ("not_a_number", {"evidence": evidence(log_e_sample_ratio_segments={"de": math.nan})}),
    ("not_a_number", {"evidence": evidence(metrics=(metric("love"), metric("harm")))}),
    # Half of .01 for nine segments, four quarters of the day and five devices, seen or not: ln(18 / .01) = 7.496.
    ("sample_ratio_mismatch", {"evidence": evidence(log_e_sample_ratio_segments={"device=mobile": 7.5})}),
    ("one_armed_metric", {"evidence": evidence(harm={"newest_control": 4979.0}), "rules": QUIET}),
    ("stale_metric", {"watermark": 5001.1, "evidence": evidence(), "rules": QUIET, "now": 5002.0}),
    ("vetoed", {"veto": "the sentinel has an alarm"}),
    ("discovery_open", {"allowed": Allowance("e_lond", 0.1, 3, 10.1, 0.2)}),
    ("unsteady", {"evidence": evidence(love={"effect_without_top": 0.0})}),
    ("unsteady", {"evidence": evidence(love={"effect_late": -0.01})}),
    ("unsteady", {"evidence": evidence(love={"effect_late": None})}),
]


@pytest.mark.parametrize(("code", "changes"), HOLDS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(HOLDS)])
def test_one_thing_missing_holds(code: str, changes: dict[str, object]) -> None:
    verdict = decide(situation(**changes))
    assert (verdict.kind, verdict.code) == ("hold", code)


STOPS: list[tuple[str, dict[str, object]]] = [
    ("proof_refused", {"proof": "refused"}),
    ("champion_changed", {"champion_is_control": False}),
    ("challenger_withdrawn", {"challenger_state": "refused"}),
    ("discoveries_exhausted", {"allowed": Allowance("e_lond", 0.1, 366, math.inf, 1.0)}),
    ("max_runtime", {"evidence": evidence(harm={"newest_control": 1.0}), "watermark": 1e5, "now": 1e5, "rules": QUIET}),
    ("max_people", {"evidence": evidence(love={"log_e_better": 0.0, "people_challenger": 9_600})}),
    ("max_runtime", {"evidence": evidence(love={"log_e_better": 0.0}), "watermark": 100_000.0, "now": 100_001.0}),
    (
        "max_runtime",
        {"evidence": evidence(log_e_sample_ratio=9.0), "watermark": 100_000.0, "now": 100_001.0},
    ),
]


LATE: dict[str, object] = {"watermark": 100_000.0, "now": 100_001.0}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("not_a_number", {"evidence": evidence(unusable="1 frozen values of metric 'love' are not numbers")}),
        ("not_a_number", {"evidence": evidence(love={"log_e_better": None})}),
        ("no_evidence", {"evidence": None}),
        ("unproven", {"proof": "waiting"}),
    ],
)
def test_what_never_gets_better_does_not_outlive_the_deadline(code: str, changes: dict[str, object]) -> None:
    """One value that is no number once held an experiment for ever, and with it every challenger after it."""
    assert decide(situation(**changes)).code == code
    assert decide(situation(**changes, **LATE)).code == "max_runtime"
    assert decide(situation(**changes, **LATE, paused_at=4000.0)).code == code, "a pause has no deadline"


@pytest.mark.parametrize(("code", "changes"), STOPS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(STOPS)])
def test_stops_keep_the_champion(code: str, changes: dict[str, object]) -> None:
    verdict = decide(situation(**changes))
    assert (verdict.kind, verdict.code) == ("stop", code)


def test_the_error_of_the_sample_ratio_is_shared_out_before_anybody_is_seen() -> None:
    """By the segments seen so far the first of them would be asked for less than the last: .01 might be spent twice."""
    for seen in ({}, {"device=mobile": 7.49}, dict.fromkeys("abcdefgh", 0.0)):
        at = situation(evidence=evidence(log_e_sample_ratio_segments=seen))
        assert at.boundaries.sample_ratio == pytest.approx(math.log(200))
        assert at.boundaries.sample_ratio_segment == pytest.approx(math.log(1800))
        assert decide(at).kind == "promote"
    plain = situation(rules=RULES.model_copy(update={"segments": ()}))
    assert plain.boundaries.sample_ratio == pytest.approx(math.log(100))
    assert situation(evidence=None).boundaries.sample_ratio_segment == pytest.approx(math.log(1800))


def test_harm_is_taken_back_even_under_a_mismatch_and_when_early() -> None:
    worse = boundary(RULES.alpha_rollback, 3)
    bad = evidence(harm={"log_e_worse": worse, "people_challenger": 5}, log_e_sample_ratio=9.0)
    assert decide(situation(evidence=bad, watermark=10.0, now=11.0, phase=Phase(0, 0.1, 9.0))).kind == "rollback"
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
    unseen = evidence(love=calm, harm={"people_control": 0})
    assert decide(situation(evidence=unseen, **early)).code == "no_values", "nothing is known of harm"
    # Half way to ln 20, or as many people as the goals need: one value in each arm says nothing of harm.
    halfway = boundary(RULES.alpha_promote, 1) / 2
    for known, code in (
        ({"log_e_not_inferior": halfway, "least_people_in_phase": 1}, "ramp"),
        ({"log_e_not_inferior": halfway - 0.01, "least_people_in_phase": 49}, "undecided"),
        ({"log_e_not_inferior": -1.0, "least_people_in_phase": 50}, "ramp"),
    ):
        assert decide(situation(evidence=evidence(love=calm, harm=known), **early)).code == code
    half = boundary(RULES.alpha_rollback, 3) / 2
    warned = evidence(love=calm, harm={"log_e_worse": half, "log_e_worse_now": half})
    assert decide(situation(evidence=warned, **early)).code == "warned"
    passed = evidence(love=calm, harm={"log_e_worse": half, "log_e_worse_now": half - 0.01})
    assert decide(situation(evidence=passed, **early)).code == "ramp", "what looked like harm has passed"


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


def test_a_breaker_takes_back_even_the_blind() -> None:
    tripped = {"trips": ("one: empty answers",)}
    for blind in ({}, {"watermark": None}, {"evidence": None}, {"paused_at": 1.0}, {"proof": "waiting"}):
        verdict = decide(situation(**tripped, **blind))
        assert (verdict.kind, verdict.code) == ("rollback", "breaker")
    assert "one: empty answers" in verdict.reason


def test_harm_ends_even_what_is_paused() -> None:
    bad = evidence(harm={"log_e_worse": boundary(RULES.alpha_rollback, 3)})
    assert decide(situation(evidence=bad, paused_at=4000.0)).code == "worse"


@pytest.mark.parametrize("kind", ["challenge", "holdback"])
def test_a_value_that_is_none_hides_no_harm_of_another_metric(kind: str) -> None:
    """One NaN of love once held an experiment that was proven to do harm, until its deadline."""
    known = {"kind": kind, "champion_is_challenger": kind == "holdback"}
    proven = {"log_e_worse": boundary(RULES.alpha_rollback, 3)}
    told = "1 frozen values of metric 'love' are not numbers in [0, 1]"
    bad = evidence(love={"broken": 1}, harm=proven, unusable=told)
    assert decide(situation(evidence=bad, **known)).code == "worse"
    nothing = evidence(love={"log_e_better": None, "log_e_worse": math.nan}, harm=proven)
    assert decide(situation(evidence=nothing, **known)).code == "worse"
    # Of the metric itself nothing is believed: who has a value may depend on the arm.
    own = evidence(love=proven | {"broken": 1}, unusable=told)
    assert decide(situation(evidence=own, **known)).code == "not_a_number"
    assert decide(situation(evidence=evidence(love={"log_e_worse": math.inf}), **known)).code == "not_a_number"


def test_time_while_paused_does_not_end_an_experiment() -> None:
    rules = RULES.model_copy(update={"metric_silence_seconds": 1e6})
    late = {"evidence": evidence(love={"log_e_better": 0.0}), "watermark": 1e5, "now": 1e5, "rules": rules}
    assert decide(situation(**late)).code == "max_runtime"
    assert decide(situation(**late, paused_seconds=1.0)).code == "undecided"


def test_of_k_candidates_each_has_its_share_of_the_error_and_of_the_people() -> None:
    """ln(k goals / alpha) by hand: one goal, three candidates, alpha .05: ln 60 = 4.094."""
    three = situation(candidates=3)
    assert three.boundaries.better == pytest.approx(4.0943, abs=1e-4)
    assert three.boundaries.not_inferior == pytest.approx(4.0943, abs=1e-4)
    assert decide(situation(candidates=3, evidence=evidence(love={"log_e_better": 4.09}))).code == "undecided"
    assert decide(situation(candidates=3, evidence=evidence(love={"log_e_better": 4.1}))).code == "better"
    calm = evidence(love={"log_e_better": 0.0, "least_people_in_phase": 50})
    ramp = decide(situation(candidates=3, evidence=calm, phase=Phase(0, 0.1, 0.0)))
    assert ramp.share == pytest.approx(1 / 6)
    top = situation(candidates=3, evidence=calm, phase=Phase(1, 1 / 6, 0.0))
    assert decide(top).code == "undecided"


def test_a_metric_where_less_is_better_keeps_its_sign_below_zero() -> None:
    down = RULES.model_copy(update={"metrics": (RULES.metrics[0].model_copy(update={"direction": "lower"}),)})
    for late, code in ((-0.1, "better"), (0.1, "unsteady")):
        love = metric("love", direction="lower", effect_late=late, effect_without_top=-0.1)
        assert decide(situation(rules=down, evidence=evidence(metrics=(love,)))).code == code


HOLDBACK: list[tuple[str, str, dict[str, object]]] = [
    ("hold", "holding", {}),
    ("stop", "kept", {"started_at": 5010.0 - RULES.holdback_seconds}),
    ("stop", "kept", {"started_at": 5010.0 - RULES.holdback_seconds, "watermark": None}),
    ("hold", "no_watermark", {"watermark": None}),
    ("stop", "superseded", {"champion_is_challenger": False}),
    ("rollback", "breaker", {"trips": ("one: slow",)}),
    ("rollback", "worse", {"evidence": evidence(harm={"log_e_worse": boundary(0.02, 3)})}),
    ("hold", "holding", {"evidence": evidence(harm={"log_e_worse": boundary(0.02, 3) - 0.01})}),
    ("hold", "paused", {"paused_at": 1.0, "started_at": 5010.0 - RULES.holdback_seconds}),
]


@pytest.mark.parametrize(("kind", "code", "changes"), HOLDBACK, ids=[f"{n}-{row[1]}" for n, row in enumerate(HOLDBACK)])
def test_a_holdback_takes_back_or_keeps(kind: str, code: str, changes: dict[str, object]) -> None:
    rules = RULES.model_copy(update={"alpha_holdback": 0.02})
    known = {"kind": "holdback", "champion_is_challenger": True, "rules": rules, "challenger_state": "champion"}
    verdict = decide(situation(**(known | changes)))
    assert (verdict.kind, verdict.code) == (kind, code)


def verdicts(*kinds: str) -> dict[str, Verdict]:
    share = {"ramp": 0.25}
    return {f"arm{n}": Verdict(kind, kind, kind, share.get(kind), f"arm{n}") for n, kind in enumerate(kinds)}  # type: ignore[arg-type]


def test_several_candidates_come_to_one_verdict() -> None:
    assert decide_among(verdicts("hold", "ramp"), None).kind == "hold"
    assert decide_among(verdicts("ramp", "ramp"), None).share == 0.25
    assert decide_among(verdicts("stop", "stop"), None).kind == "stop"
    assert decide_among(verdicts("stop", "rollback"), None).kind == "rollback"
    dropped = decide_among(verdicts("hold", "rollback", "promote"), "arm2")
    assert (dropped.kind, dropped.arm) == ("drop", "arm1")
    assert decide_among(verdicts("hold", "ramp", "promote"), "arm2").arm == "arm2"
    assert passing(verdicts("promote", "hold", "promote")) == ["arm0", "arm2"]
    doubtful = verdicts("promote") | {"arm1": Verdict("hold", "sample_ratio_mismatch", "")}
    assert passing(doubtful) == []
    assert decide_among(doubtful, None).code == "sample_ratio_mismatch"
