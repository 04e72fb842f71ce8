"""What runs, how far its evidence is from a decision, and what it waits for; and one decision in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ab_testing.decisions import Situation, Verdict
from ab_testing.evidence import Evidence, MetricEvidence
from ab_testing.looking import situations_of, weigh
from ab_testing.repository import ExperimentRepository
from infra.contracts import Arm, Decision, Experiment, PlauditError
from infra.runtime import Context


class NoSuchDecision(PlauditError):
    """The ledger has no such row."""

    code = "no_such_decision"
    status = 404


@dataclass(frozen=True)
class Gauge:
    """One test of one metric: how far it has come. Nats; `test` is better, not_inferior, worse or discovery."""

    metric: str
    test: str
    log_e: float | None
    boundary: float

    @property
    def filled(self) -> float:
        """0: no evidence; 1: at the boundary or beyond."""
        if self.log_e is None or not math.isfinite(self.boundary) or self.boundary <= 0:
            return 0.0
        return min(1.0, max(0.0, self.log_e / self.boundary))

    @property
    def reached(self) -> bool:
        """Whether the test has come to its answer."""
        return self.log_e is not None and self.log_e >= self.boundary


@dataclass(frozen=True)
class Running:
    """One experiment now. `verdict`: what a look at this instant would come to, in words what it waits for; `seconds`:
    until a promotion at the pace so far, None where the evidence does not grow; `deadline`: Unix seconds."""

    experiment: Experiment
    situations: Mapping[Arm, Situation]
    verdict: Verdict
    gauges: Mapping[Arm, Sequence[Gauge]]
    seconds: float | None
    deadline: float


def running_now(context: Context, connection: Connection, watermark: float | None) -> list[Running]:
    """Everything that runs, holdbacks first; the sentinel, which decides nothing, is left out."""
    repository = ExperimentRepository(connection, context.settings.project)
    found = []
    for experiment in (*repository.running("holdback"), *repository.running()):
        situations = situations_of(context, connection, experiment, watermark, context.clock.now())
        verdict, _passed = weigh(connection, experiment, situations)
        some = next(iter(situations.values()))
        longest = some.rules.holdback_seconds if experiment.kind == "holdback" else some.rules.max_runtime_seconds
        found.append(
            Running(
                experiment=experiment,
                situations=situations,
                verdict=verdict,
                gauges={arm: gauges(situation) for arm, situation in situations.items()},
                seconds=seconds_left(situations) if experiment.kind == "challenge" else None,
                deadline=experiment.started_at + longest + some.paused_seconds,
            )
        )
    return found


def gauges(s: Situation) -> list[Gauge]:
    """Every test of one candidate beside what it must reach."""
    if s.evidence is None:
        return []
    found = []
    for metric in s.evidence.metrics:
        if s.kind == "challenge" and metric.role == "goal":
            found.append(Gauge(metric.name, "better", metric.log_e_better, s.boundaries.better))
        elif s.kind == "challenge":
            found.append(Gauge(metric.name, "not_inferior", metric.log_e_not_inferior, s.boundaries.not_inferior))
        found.append(Gauge(metric.name, "worse", metric.log_e_worse, s.boundaries.worse))
    if s.kind == "challenge" and s.allowed.procedure != "none":
        found.append(Gauge("all goals", "discovery", s.log_e_discovery, s.boundaries.discovery))
    return found


def seconds_left(situations: Mapping[Arm, Situation]) -> float | None:
    """Until the first candidate has all it needs, if evidence grows as it has so far; None where some does not."""
    known = [left for left in map(_seconds_left, situations.values()) if left is not None]
    return min(known, default=None)


def _seconds_left(s: Situation) -> float | None:
    if s.evidence is None or not s.goals:
        return None
    leading = max(s.goals, key=lambda metric: metric.log_e_better or -math.inf)
    needed = [
        Gauge(leading.name, "better", leading.log_e_better, s.boundaries.better),
        *(g for g in gauges(s) if g.test in ("not_inferior", "discovery")),
    ]
    elapsed = s.at - s.started_at
    seconds = [max(0.0, s.rules.min_runtime_seconds - elapsed)]
    for gauge in needed:
        if gauge.reached:
            continue
        if not gauge.log_e or gauge.log_e <= 0 or not math.isfinite(gauge.boundary) or elapsed <= 0:
            return None
        seconds.append(elapsed * (gauge.boundary / gauge.log_e - 1))
    return max(seconds)


def find_decision(connection: Connection, project: str, wanted: str) -> Decision:
    """A row of the ledger by its sequence number or its id. Raises NoSuchDecision."""
    for row in ExperimentRepository(connection, project).decisions():
        if wanted in (str(row.sequence), row.decision_id):
            return row
    raise NoSuchDecision(f"the ledger has no decision {wanted!r}: give a sequence number or an id", field="decision")


def explained(row: Decision) -> list[str]:
    """A row in words and numbers, a line each."""
    lines = [f"{row.kind}: {row.reason}"]
    document: Any = row.evidence
    if "phase" in document:
        share = document["phase"]["share"]
        low, high = document["slot"]
        lines.append(
            f"step {int(document['phase']['index']) + 1} of the ramp: {share:.1%} of people in each arm, "
            f"drawn from the buckets {low:g} to {high:g}"
        )
    several = document.get("candidates") or {document.get("arm", "challenger"): document}
    for arm, candidate in several.items():
        if "metrics" not in candidate:
            continue
        if len(several) > 1:
            lines.append(f"{arm}:")
        lines += [
            line for metric in candidate["metrics"] for line in metric_lines(metric, candidate["boundaries_nats"])
        ]
        lines += assignment_lines(candidate)
        lines += discovery_lines(candidate.get("discovery", {}))
    return lines


def metric_lines(metric: Any, boundaries: Any) -> list[str]:
    """One metric of a row."""
    name, better = metric["name"], "higher" if metric["direction"] == "higher" else "lower"
    rates = [metric["rate_challenger"], metric["rate_control"]]
    told = " against ".join("none" if rate is None else f"{rate:.4f}" for rate in rates)
    people = f"{int(metric['people_challenger'])} and {int(metric['people_control'])} people"
    lines = [f"{name} ({metric['role']}, {better} is better): {told} ({people})"]
    if metric["low"] is not None and metric["high"] is not None:
        interval = f"{metric['low']:+.4f} to {metric['high']:+.4f}"
        lines.append(f"  effect {metric['effect']:+.4f}, with 95 % confidence at any look {interval}")
    tests = [("worse", "log_e_worse", "worse")]
    tests.insert(0, ("better", "log_e_better", "better") if metric["role"] == "goal" else _NOT_INFERIOR)
    for words, column, test in tests:
        value = metric[column]
        if value is not None:
            needed, verdict = boundaries[test], "shown" if value >= boundaries[test] else "not shown"
            lines.append(f"  {words}: {verdict}; e-value {_e(value)} of {_e(needed)}")
    for words, column in _STEADY:
        value = metric.get(column)
        if value is not None:
            lines.append(f"  {words}: {value:+.4f}")
    return lines


_NOT_INFERIOR = ("no worse by its margin", "log_e_not_inferior", "not_inferior")
_STEADY = (
    ("without the most active people", "effect_without_top"),
    ("among the later half", "effect_late"),
)


def assignment_lines(candidate: Any) -> list[str]:
    """Who was exposed, and whether they landed as they should."""
    limit = candidate["boundaries_nats"]["sample_ratio"]
    ratio = candidate["log_e_sample_ratio"]
    told = "not a number" if ratio is None else f"e-value {_e(ratio)} of {_e(limit)}"
    lines = [
        f"{int(candidate['exposed_challenger'])} and {int(candidate['exposed_control'])} people were exposed, "
        f"{int(candidate['flips'])} seen in both arms; sample ratio: {told}"
    ]
    segments = {name: log_e for name, log_e in candidate["log_e_sample_ratio_segments"].items() if log_e is not None}
    if segments:
        worst = max(segments, key=lambda name: segments[name])
        needed = candidate["boundaries_nats"].get("sample_ratio_segment", limit)
        lines.append(f"of {len(segments)} segments {worst} has the largest: {_e(segments[worst])} of {_e(needed)}")
    return lines


def discovery_lines(discovery: Any) -> list[str]:
    """The stream's part."""
    if discovery.get("procedure", "none") == "none":
        return []
    threshold = discovery["log_threshold"]
    needed = "no e-value is enough any more" if threshold is None else f"needs an e-value of {_e(threshold)}"
    has = "" if discovery.get("log_e") is None else f", has {_e(discovery['log_e'])}"
    return [
        f"challenger {int(discovery['position'])} of its stream ({discovery['procedure']}, rate {discovery['rate']:g}, "
        f"{discovery['spent']:.1%} of the budget spent with it): {needed}{has}"
    ]


def people_of(evidence: Evidence | None, arm: Arm) -> int:
    """Exposed people of one side of a comparison."""
    if evidence is None:
        return 0
    return evidence.exposed_control if arm == "control" else evidence.exposed_challenger


def rate_of(metric: MetricEvidence, arm: Arm) -> float | None:
    """Mean value of one side of a comparison."""
    return metric.rate_control if arm == "control" else metric.rate_challenger


def _e(log_e: float) -> str:
    return f"{math.exp(min(log_e, 700.0)):.3g}"
