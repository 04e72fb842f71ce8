"""What a decision is made from and what it says: shared by all rules. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ab_testing.discoveries import NO_STREAM, Allowance, mean_log_e
from ab_testing.evidence import Evidence, MetricEvidence
from ab_testing.exposures import SEGMENTS
from infra.contracts import Arm, DecisionKind, ExperimentKind, Phase
from infra.settings.ab_testing import AbTestingSettings

Proof = Literal["proven", "waiting", "refused"]
"""Whether some replica has proven that it serves the challenger as it was trained (contract 4)."""


@dataclass(frozen=True)
class Verdict:
    """What to do. `code` is a stable word, `reason` the whole sentence with its numbers; `share` only for a ramp; `arm`
    where one of several candidates is meant: the one to promote or to drop."""

    kind: DecisionKind
    code: str
    reason: str
    share: float | None = None
    arm: Arm | None = None


@dataclass(frozen=True)
class Situation:
    """What is known of one candidate at one look. Times are Unix seconds; `watermark` None: some partition was never
    read. `candidates`: how many the experiment began with; `trips`, `control_trips`: why gateways gave up on the
    candidate's arm and on the control; `allowed`: what the stream of challengers asks."""

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
    kind: ExperimentKind = "challenge"
    arm: Arm = "challenger"
    candidates: int = 1
    champion_is_challenger: bool = False
    trips: tuple[str, ...] = ()
    control_trips: tuple[str, ...] = ()
    paused_at: float | None = None
    paused_seconds: float = 0.0
    allowed: Allowance = NO_STREAM
    veto: str = ""
    """Why nothing may be promoted, whatever the evidence: see `ab_testing.checks`."""

    @property
    def at(self) -> float:
        """The logical time of the look."""
        return self.now if self.watermark is None else self.watermark

    @property
    def known(self) -> Evidence:
        """The evidence, after the rule that holds without any."""
        assert self.evidence is not None  # `unusable` comes first
        return self.evidence

    @property
    def goals(self) -> list[MetricEvidence]:
        """Evidence of the goals."""
        return [metric for metric in self.known.metrics if metric.role == "goal"]

    @property
    def guardrails(self) -> list[MetricEvidence]:
        """Evidence of the guardrails."""
        return [metric for metric in self.known.metrics if metric.role == "guardrail"]

    @property
    def boundaries(self) -> "Boundaries":
        """What every test of this look must reach."""
        rules = self.rules
        goals = sum(metric.role == "goal" for metric in rules.metrics)
        harm = rules.alpha_holdback if self.kind == "holdback" else rules.alpha_rollback
        segments = sum(len(SEGMENTS[name]) for name in rules.segments)
        return Boundaries(
            better=boundary(rules.alpha_promote, goals * self.candidates),
            discovery=self.allowed.log_threshold,
            # All guardrails must pass, so their errors do not add up (intersection-union); those of candidates do.
            not_inferior=boundary(rules.alpha_promote, self.candidates),
            worse=boundary(harm, len(rules.metrics)),
            # Half of the error for all people, half for the segments that there can be: were those seen so far counted,
            # the first ones would have been asked less, and all together might err more often than alpha.
            sample_ratio=boundary(rules.srm_alpha, 2 if segments else 1),
            sample_ratio_segment=boundary(rules.srm_alpha, max(2 * segments, 1)),
        )

    @property
    def log_e_discovery(self) -> float | None:
        """Logarithm of the candidate's e-value in the stream of challengers."""
        return None if self.evidence is None else mean_log_e([metric.log_e_better for metric in self.goals])


@dataclass(frozen=True)
class Boundaries:
    """Logarithms (nats) that e-values are held against."""

    better: float
    discovery: float
    not_inferior: float
    worse: float
    sample_ratio: float
    sample_ratio_segment: float


Rule = Callable[[Situation], Verdict | None]


def boundary(alpha: float, tests: int) -> float:
    """Logarithm (nats) of the e-value that each of `tests` tests must reach for an error of `alpha` in all:
    ln(tests / alpha), by Ville's inequality and Bonferroni."""
    return math.log(tests / alpha)


def rates(metric: MetricEvidence) -> str:
    """Both arms in words."""
    if metric.rate_challenger is None or metric.rate_control is None:
        return "no rates"
    people = f"{metric.people_challenger} and {metric.people_control} people"
    return f"{metric.rate_challenger:.4f} against {metric.rate_control:.4f} ({people})"


def e_value(log_e: float | None) -> str:
    """An e-value in words."""
    return "none" if log_e is None else f"{math.exp(min(log_e, 700.0)):.3g}"
