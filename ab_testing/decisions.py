"""The policy: from evidence to start, hold, ramp, promote, roll back or stop, with the reason. Pure.

Rules are asked in order and the first that answers decides; a promotion is the last thing anything comes to. No
evidence, no change (contract 5): whatever is missing, stale, mismatched or not a number holds, and never promotes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ab_testing.evidence import Evidence, MetricEvidence
from infra.contracts import DecisionKind, Phase
from infra.settings.ab_testing import AbTestingSettings

Proof = Literal["proven", "waiting", "refused"]
"""Whether some replica has proven that it serves the challenger as it was trained (contract 4)."""


@dataclass(frozen=True)
class Verdict:
    """What to do. `code` is a stable word, `reason` the whole sentence with its numbers; `share` only for a ramp."""

    kind: DecisionKind
    code: str
    reason: str
    share: float | None = None


@dataclass(frozen=True)
class Situation:
    """What is known at one look. Times are Unix seconds; `watermark` None: some partition was never read."""

    rules: AbTestingSettings
    phase: Phase
    started_at: float
    now: float
    watermark: float | None
    proof: Proof
    proof_detail: str
    champion_is_control: bool
    challenger_state: str
    evidence: Evidence | None

    @property
    def at(self) -> float:
        """The logical time of the look."""
        return self.now if self.watermark is None else self.watermark


Rule = Callable[[Situation], Verdict | None]


def decide(situation: Situation) -> Verdict:
    """The first answer of the rules, in order."""
    for rule in RULES:
        verdict = rule(situation)
        if verdict is not None:
            return verdict
    raise AssertionError("the last rule always answers")


def boundary(alpha: float, tests: int) -> float:
    """Logarithm (nats) of the e-value that each of `tests` tests must reach for an error of `alpha` in all:
    ln(tests / alpha), by Ville's inequality and Bonferroni."""
    return math.log(tests / alpha)


def ineligible(s: Situation) -> Verdict | None:
    """The comparison itself has lost its meaning: champion moved, challenger withdrawn, or not what was trained."""
    if s.challenger_state != "challenger":
        return Verdict(
            "stop", "challenger_withdrawn", f"the challenger is no longer a challenger but {s.challenger_state!r}"
        )
    if not s.champion_is_control:
        return Verdict("stop", "champion_changed", "the champion is no longer the one this experiment compares with")
    if s.proof == "refused":
        return Verdict("stop", "proof_refused", f"no replica serves the challenger as it was trained: {s.proof_detail}")
    return None


def blind(s: Situation) -> Verdict | None:
    """Nothing can be seen: no watermark, a stale one, or no proof."""
    if s.watermark is None:
        return Verdict("hold", "no_watermark", "some partition of the log was never read; is the consumer running?")
    age = s.now - s.watermark
    if age > s.rules.freshness_seconds:
        limit = s.rules.freshness_seconds
        return Verdict("hold", "stale", f"the watermark is older than {limit:g} s; is the consumer running?")
    if s.proof == "waiting":
        return Verdict("hold", "unproven", "no replica has proven the challenger yet")
    return None


def unusable(s: Situation) -> Verdict | None:
    """Numbers that are none."""
    if s.evidence is None:
        return Verdict("hold", "no_evidence", "there is no evidence yet")
    if s.evidence.unusable:
        return Verdict("hold", "not_a_number", s.evidence.unusable)
    broken = [m.name for m in s.evidence.metrics if m.log_e_better is None or m.log_e_worse is None]
    if broken or not math.isfinite(s.evidence.log_e_sample_ratio):
        named = ", ".join(broken) or "sample ratio"
        return Verdict("hold", "not_a_number", f"the evidence of {named} is not a number")
    return None


def harmful(s: Situation) -> Verdict | None:
    """Some metric is worse under the challenger. Asked before the sample ratio: taking back is always allowed."""
    limit = boundary(s.rules.alpha_rollback, len(s.rules.metrics))
    for metric in _metrics(s):
        if (metric.log_e_worse or 0.0) >= limit:
            return Verdict(
                "rollback",
                "worse",
                f"{metric.name} is worse: {_rates(metric)}, e-value {_e(metric.log_e_worse)} of {math.exp(limit):.0f}",
            )
    return None


def mismatched(s: Situation) -> Verdict | None:
    """People do not land in the arms as they should, or change arms: no comparison can be trusted, for good."""
    evidence = _evidence(s)
    if evidence.log_e_sample_ratio >= boundary(s.rules.srm_alpha, 1):
        verdict = Verdict("hold", "sample_ratio_mismatch", "people do not land in the arms as they should")
    elif evidence.flips > s.rules.max_flip_share * (evidence.exposed_challenger + evidence.exposed_control):
        verdict = Verdict("hold", "arm_flips", "too many people were seen in both arms: assignment is not sticky")
    else:
        return None
    return exhausted(s) or verdict


def better(s: Situation) -> Verdict | None:
    """A goal is better and every guardrail is shown not to be worse by its margin."""
    if too_early(s) is not None:
        return None
    goals = [m for m in _metrics(s) if m.role == "goal"]
    limit = boundary(s.rules.alpha_promote, len(goals))
    won = [m for m in goals if (m.log_e_better or 0.0) >= limit]
    if not won or _unproven_guardrails(s):
        return None
    told = "; ".join(
        f"{m.name} is better: {_rates(m)}, e-value {_e(m.log_e_better)} of {math.exp(limit):.0f}" for m in won
    )
    guarded = [m.name for m in _metrics(s) if m.role == "guardrail"]
    return Verdict("promote", "better", told + (f"; not worse: {', '.join(guarded)}" if guarded else ""))


def exhausted(s: Situation) -> Verdict | None:
    """Enough people and time spent without an answer: the champion stays."""
    evidence = _evidence(s)
    people = max((m.people_challenger + m.people_control for m in evidence.metrics), default=0)
    if people >= s.rules.max_people:
        return Verdict("stop", "max_people", f"undecided after {people} people; the champion stays")
    if s.at - s.started_at >= s.rules.max_runtime_seconds:
        return Verdict("stop", "max_runtime", f"undecided after {s.rules.max_runtime_seconds:g} s; the champion stays")
    return None


def growing(s: Situation) -> Verdict | None:
    """The next share of the ramp, once this phase has shown its people and nothing points to harm."""
    larger = [share for share in s.rules.ramp_shares if share > s.phase.share]
    if not larger or s.at - s.phase.started_at < s.rules.min_phase_seconds:
        return None
    least = min(m.least_people_in_phase for m in _metrics(s) if m.role == "goal")
    if least < s.rules.min_people_per_phase:
        return None
    # Half way (in nats) to a rollback is no time to give the challenger to more people.
    warning = boundary(s.rules.alpha_rollback, len(s.rules.metrics)) / 2
    if any((m.log_e_worse or 0.0) >= warning for m in _metrics(s)):
        return Verdict("hold", "warned", "a metric points to harm; the ramp waits")
    return Verdict("ramp", "ramp", f"{least} people or more in each arm at share {s.phase.share:g}", share=larger[0])


def too_early(s: Situation) -> Verdict | None:
    """Too few people, or too short a time, for a promotion."""
    for metric in _metrics(s):
        least = min(metric.people_challenger, metric.people_control)
        if least == 0:
            return Verdict("hold", "no_values", f"metric {metric.name!r} has no value in one of the arms yet")
        if least < s.rules.min_people_per_arm:
            return Verdict(
                "hold",
                "too_few_people",
                f"fewer than {s.rules.min_people_per_arm} people in an arm: {metric.name}",
            )
    if s.at - s.started_at < s.rules.min_runtime_seconds:
        return Verdict("hold", "too_early", f"runs for less than {s.rules.min_runtime_seconds:g} s")
    return None


def undecided(s: Situation) -> Verdict:
    """The evidence points nowhere yet."""
    waiting = _unproven_guardrails(s)
    goals = [m for m in _metrics(s) if m.role == "goal"]
    limit = boundary(s.rules.alpha_promote, len(goals))
    if waiting and any((m.log_e_better or 0.0) >= limit for m in goals):
        return Verdict("hold", "guardrails_open", f"better, but not yet shown to be no worse: {', '.join(waiting)}")
    return Verdict("hold", "undecided", "not enough evidence either way yet")


RULES: tuple[Rule, ...] = (
    ineligible,
    blind,
    unusable,
    harmful,
    mismatched,
    better,
    exhausted,
    growing,
    too_early,
    undecided,
)


def _evidence(s: Situation) -> Evidence:
    assert s.evidence is not None  # `unusable` comes first
    return s.evidence


def _metrics(s: Situation) -> tuple[MetricEvidence, ...]:
    return _evidence(s).metrics


def _unproven_guardrails(s: Situation) -> list[str]:
    # Each at the full level: all must pass, so their errors do not add up (intersection-union).
    limit = boundary(s.rules.alpha_promote, 1)
    return [m.name for m in _metrics(s) if m.role == "guardrail" and (m.log_e_not_inferior or 0.0) < limit]


def _rates(metric: MetricEvidence) -> str:
    if metric.rate_challenger is None or metric.rate_control is None:
        return "no rates"
    people = f"{metric.people_challenger} and {metric.people_control} people"
    return f"{metric.rate_challenger:.4f} against {metric.rate_control:.4f} ({people})"


def _e(log_e: float | None) -> str:
    return "none" if log_e is None else f"{math.exp(min(log_e, 700.0)):.3g}"
