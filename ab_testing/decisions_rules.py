"""The rules of a challenge, and those it shares with a holdback. Each answers or passes on."""

import math

from ab_testing.decisions_situation import Rule, Situation, Verdict, e_value, rates
from ab_testing.evidence import MetricEvidence


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


def tripped(s: Situation) -> Verdict | None:
    """A gateway gave up on the arm by itself: asked before anything that needs numbers."""
    if s.trips:
        return Verdict("rollback", "breaker", f"a circuit breaker opened: {'; '.join(s.trips)}")
    return None


def blind(s: Situation) -> Verdict | None:
    """Nothing can be seen: no watermark, a stale one, a clock that went back, or no proof."""
    if s.watermark is None:
        return Verdict("hold", "no_watermark", "some partition of the log was never read; is the consumer running?")
    if s.now < s.phase.started_at:
        return Verdict("hold", "clock_behind", "the clock stands before the phase's own start: was it set back?")
    if s.now - s.watermark > s.rules.freshness_seconds:
        limit = s.rules.freshness_seconds
        return Verdict("hold", "stale", f"the watermark is older than {limit:g} s; is the consumer running?")
    if s.proof == "waiting":
        refused = f"; refused so far by {s.proof_detail}" if s.proof_detail else ""
        return Verdict("hold", "unproven", f"no replica has proven the challenger yet{refused}")
    if s.control_trips:
        told = "; ".join(s.control_trips)
        return Verdict("hold", "control_tripped", f"the arm it is compared with does not answer as it should: {told}")
    return None


def unusable(s: Situation) -> Verdict | None:
    """Numbers that are none."""
    if s.evidence is None:
        return Verdict("hold", "no_evidence", "there is no evidence yet")
    if s.evidence.unusable:
        return Verdict("hold", "not_a_number", s.evidence.unusable)
    broken = [m.name for m in s.evidence.metrics if not _finite(m.log_e_better) or not _finite(m.log_e_worse)]
    if not all(map(math.isfinite, (s.evidence.log_e_sample_ratio, *s.evidence.log_e_sample_ratio_segments.values()))):
        broken.append("sample ratio")
    missing = {m.name for m in s.rules.metrics} - {m.name for m in s.evidence.metrics}
    if broken or missing:
        named = ", ".join([*broken, *sorted(missing)])
        return Verdict("hold", "not_a_number", f"the evidence of {named} is not a number")
    return None


def harmful(s: Situation) -> Verdict | None:
    """Some metric is worse under the challenger. Asked before the sample ratio, and before what makes other metrics
    unusable: taking back is always allowed. A metric with values that are no numbers itself shows nothing, for who
    has one may depend on the arm."""
    if s.evidence is None:
        return None
    limit = s.boundaries.worse
    for metric in s.evidence.metrics:
        if not metric.broken and _finite(metric.log_e_worse) and (metric.log_e_worse or 0.0) >= limit:
            return Verdict(
                "rollback",
                "worse",
                f"{metric.name} is worse: {rates(metric)}, "
                f"e-value {e_value(metric.log_e_worse)} of {math.exp(limit):.0f}",
            )
    return None


def paused(s: Situation) -> Verdict | None:
    """By a person's word: nobody's arm changes until that is taken back."""
    if s.paused_at is None:
        return None
    return Verdict("hold", "paused", "paused by command; only harm ends it before `plaudit ab-testing resume`")


def mismatched(s: Situation) -> Verdict | None:
    """People do not land in the arms as they should, or change arms: no comparison can be trusted, for good."""
    evidence, limit = s.known, s.boundaries.sample_ratio
    within = s.boundaries.sample_ratio_segment
    segments = [name for name, log_e in evidence.log_e_sample_ratio_segments.items() if log_e >= within]
    if evidence.log_e_sample_ratio >= limit:
        verdict = Verdict("hold", "sample_ratio_mismatch", "people do not land in the arms as they should")
    elif segments:
        named = ", ".join(sorted(segments))
        verdict = Verdict("hold", "sample_ratio_mismatch", f"people do not land in the arms as they should: {named}")
    elif evidence.flips > s.rules.max_flip_share * (evidence.exposed_challenger + evidence.exposed_control):
        verdict = Verdict("hold", "arm_flips", "too many people were seen in both arms: assignment is not sticky")
    else:
        return None
    return exhausted(s) or verdict


def silent(s: Situation) -> Verdict | None:
    """A metric that has stopped, or goes on in one arm only (contract 5)."""
    limit = s.rules.metric_silence_seconds
    for metric in s.known.metrics:
        newest = {"challenger": metric.newest_challenger, "control": metric.newest_control}
        known = {arm: at for arm, at in newest.items() if at is not None}
        late = [arm for arm, at in known.items() if max(known.values()) - at > limit]
        if late:
            return exhausted(s) or Verdict(
                "hold", "one_armed_metric", f"metric {metric.name!r} has no new values in the {late[0]} arm"
            )
        if known and s.at - max(known.values()) > limit:
            return exhausted(s) or Verdict(
                "hold", "stale_metric", f"metric {metric.name!r} has had no new value for {limit:g} s"
            )
    return None


def vetoed(s: Situation) -> Verdict | None:
    """What decides cannot be trusted: the self-test failed, or the champion differs from itself."""
    return (exhausted(s) or Verdict("hold", "vetoed", s.veto)) if s.veto else None


def better(s: Situation) -> Verdict | None:
    """A goal is better, robustly so, the stream of challengers allows it, and every guardrail is shown not to be worse
    by its margin."""
    if too_early(s) is not None or unproven_guardrails(s) or not discovered(s):
        return None
    limit = s.boundaries.better
    won = [m for m in s.goals if (m.log_e_better or 0.0) >= limit and not unsteady(s, m)]
    if not won:
        return None
    told = "; ".join(
        f"{m.name} is better: {rates(m)}, e-value {e_value(m.log_e_better)} of {math.exp(limit):.0f}" for m in won
    )
    if s.allowed.procedure != "none":
        told += f"; challenger {s.allowed.position} needs {e_value(s.allowed.log_threshold)}"
    guarded = [m.name for m in s.guardrails]
    return Verdict("promote", "better", told + (f"; not worse: {', '.join(guarded)}" if guarded else ""), arm=s.arm)


def overspent(s: Situation) -> Verdict | None:
    """The stream has no error left to spend: no evidence could ever promote."""
    if s.allowed.log_threshold < math.inf:
        return None
    reason = f"challenger {s.allowed.position} has no share of the budget of ab_testing.fdr_horizon; the champion stays"
    return Verdict("stop", "discoveries_exhausted", reason)


def exhausted(s: Situation) -> Verdict | None:
    """Enough people and time spent without an answer: the champion stays. Time while paused does not count."""
    metrics = () if s.evidence is None else s.evidence.metrics
    people = max((m.people_challenger + m.people_control for m in metrics), default=0)
    if people >= s.rules.max_people:
        return Verdict("stop", "max_people", f"undecided after {people} people; the champion stays")
    if s.at - s.started_at - s.paused_seconds >= s.rules.max_runtime_seconds:
        return Verdict("stop", "max_runtime", f"undecided after {s.rules.max_runtime_seconds:g} s; the champion stays")
    return None


def growing(s: Situation) -> Verdict | None:
    """The next share of the ramp, once this phase has shown its people and nothing points to harm."""
    larger = [share for share in ramp_shares(s) if share > s.phase.share]
    if not larger or s.at - s.phase.started_at < s.rules.min_phase_seconds:
        return None
    least = min(m.least_people_in_phase for m in s.goals)
    if least < s.rules.min_people_per_phase:
        return None
    # Few values are no evidence of no harm: a guardrail slower than the goals, or silent, keeps the ramp waiting.
    if any(unseen(s, metric) for metric in s.known.metrics):
        return None
    # Half way (in nats) to a rollback is no time to give the challenger to more people. As it stands now: one metric in
    # eight of a challenger that is no worse has been there once, and the ramp would wait for ever.
    if any((m.log_e_worse_now or 0.0) >= s.boundaries.worse / 2 for m in s.known.metrics):
        return Verdict("hold", "warned", "a metric points to harm; the ramp waits")
    return Verdict("ramp", "ramp", f"{least} people or more in each arm at share {s.phase.share:g}", share=larger[0])


def unseen(s: Situation, metric: MetricEvidence) -> bool:
    """Whether too little is known of a metric to give the challenger to more people: it has values of fewer people than
    the step asks for, in an arm, unless it is half way (in nats) to being shown no worse by its margin."""
    if min(metric.people_challenger, metric.people_control) == 0:
        return True
    shown = (metric.log_e_not_inferior or 0.0) >= s.boundaries.not_inferior / 2
    return metric.least_people_in_phase < s.rules.min_people_per_phase and not shown


def ramp_shares(s: Situation) -> list[float]:
    """The steps of the ramp, each at most what is there for one of so many candidates."""
    return list(dict.fromkeys(min(share, 0.5 / s.candidates) for share in s.rules.ramp_shares))


def too_early(s: Situation) -> Verdict | None:
    """Too few people, or too short a time, for a promotion."""
    for metric in s.known.metrics:
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
    """The evidence points nowhere yet, or not surely enough."""
    won = [m for m in s.goals if (m.log_e_better or 0.0) >= s.boundaries.better]
    if not won:
        return Verdict("hold", "undecided", "not enough evidence either way yet")
    if waiting := unproven_guardrails(s):
        return Verdict("hold", "guardrails_open", f"better, but not yet shown to be no worse: {', '.join(waiting)}")
    if not discovered(s):
        needed = f"challenger {s.allowed.position} needs an e-value of {e_value(s.allowed.log_threshold)}"
        return Verdict("hold", "discovery_open", f"better on its own, but {needed}")
    # Without the numbers themselves: they move at every look, and a hold is written once for each reason.
    return Verdict("hold", "unsteady", "; ".join(f"{m.name} is better, but not {unsteady(s, m)}" for m in won))


def unproven_guardrails(s: Situation) -> list[str]:
    """Guardrails not yet shown to be no worse by their margins."""
    return [m.name for m in s.guardrails if (m.log_e_not_inferior or 0.0) < s.boundaries.not_inferior]


def discovered(s: Situation) -> bool:
    """Whether the stream of challengers allows the promotion."""
    log_e = s.log_e_discovery
    return log_e is not None and log_e >= s.allowed.log_threshold


def unsteady(s: Situation, metric: MetricEvidence) -> str:
    """Where the effect does not have the sign it must have, or is not known; "" when it holds everywhere."""
    sign = 1.0 if metric.direction == "higher" else -1.0
    asked = []
    if s.rules.stability_top_people:
        asked.append(("without the most active people", metric.effect_without_top))
    if s.rules.stability_late_half:
        asked.append(("among the later half of those exposed", metric.effect_late))
    return " nor ".join(where for where, effect in asked if effect is None or not sign * effect > 0)


def until_the_deadline(rule: Rule) -> Rule:
    """`rule`, but where it would have an experiment wait whose time or people are spent, that ends: what never gets
    better (a value that is no number, an adapter that no replica proves) would hold for ever otherwise. A pause has
    no deadline."""

    def asked(s: Situation) -> Verdict | None:
        verdict = rule(s)
        if verdict is not None and verdict.kind == "hold" and s.paused_at is None:
            return exhausted(s) or verdict
        return verdict

    return asked


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


RULES: tuple[Rule, ...] = (
    ineligible,
    tripped,
    until_the_deadline(blind),
    harmful,
    until_the_deadline(unusable),
    paused,
    overspent,
    mismatched,
    silent,
    vetoed,
    better,
    exhausted,
    growing,
    too_early,
    undecided,
)
