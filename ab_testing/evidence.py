"""What the frozen values say: e-processes for every metric, the sample ratio, and intervals for people to look at.

All of it is a pure function of rows in a fixed order, computed from the first row at every look, so that a look can be
repeated at any time; `ab_testing.evidence_state` comes to the same a person at a time. Why the e-processes hold at
every look, ramp and base rate: `infra.statistics.betting` and `infra.statistics.e_process`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ab_testing.metrics import RETURN
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import (
    BettingDesign,
    ConfidenceSequence,
    Design,
    EProcess,
    augmented_scores,
    betting_e_process,
    excess_e_process,
    mean_confidence_sequence,
    sample_ratio_e_process,
)

LIFTS = (1.0, 3.0, 9.0)
"""Bettors expect these multiples of the smallest effect of interest."""
WEIGHTS = (0.8, 0.06, 0.03)
"""Their shares of the wealth; the plug-in has the rest. Most lies on the smallest effect: larger ones show soon."""

INTERVAL_ALPHA = 0.05
INTERVAL_PEOPLE = 2000.0
"""Where the confidence sequence for people to look at is narrowest; fixed beforehand."""


ValueRow = tuple[str, float | None, int, float] | tuple[str, float | None, int, float, float | None, float | None]


@dataclass(frozen=True)
class PersonValues:
    """Frozen values of one metric, in the order (frozen_at, user_key), people without a value left out.

    `in_challenger` (n,) bool; `values` (n,) in [0, 1]; `phase` (n,) index of the ramp's phase at first exposure;
    `frozen_at` (n,) Unix seconds; `propensity` (n,) of the challenger among counted people at assignment (1/2 where the
    arms are equal), `denominators` (n,) of a ratio and `covariates` (n,) from before exposure, where there are any.
    """

    in_challenger: NDArray[np.bool_]
    values: NDArray[np.float64]
    phase: NDArray[np.int64]
    frozen_at: NDArray[np.float64]
    propensity: NDArray[np.float64] | None = None
    denominators: NDArray[np.float64] | None = None
    covariates: NDArray[np.float64] | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """Propensity of everybody."""
        return np.full(self.values.shape[0], 0.5) if self.propensity is None else self.propensity

    @property
    def means(self) -> NDArray[np.float64]:
        """Values for plain means: a ratio is linearised about the ratio of all earlier people, R + (y - R d) / mean d
        (Deng, Knoblich, Lu, KDD 2018), as `MetricState` does."""
        if self.denominators is None:
            return self.values
        n = np.arange(self.values.shape[0])
        earlier, line = np.cumsum(self.values) - self.values, np.cumsum(self.denominators) - self.denominators
        ratio = np.where(line > 0, earlier / np.where(line > 0, line, 1.0), 0.5)
        size = np.where(line > 0, line / np.maximum(n, 1), 1.0)
        return np.asarray(ratio + (self.values - ratio * self.denominators) / size)

    @classmethod
    def of(
        cls,
        rows: Sequence[ValueRow],
        candidate: str = "challenger",
        share_in: Callable[[int], float] | None = None,
    ) -> "PersonValues":
        """From rows (arm, value, phase, frozen_at[, denominator, covariate]) of one candidate and the control;
        `share_in`: phase -> the candidate's share of both, 1/2 without."""
        kept = [(*row, None, None)[:6] for row in rows if row[1] is not None]
        ratio = any(row[4] is not None for row in kept)
        adjusted = any(row[5] is not None for row in kept)
        return cls(
            np.array([row[0] == candidate for row in kept], dtype=np.bool_),
            np.array([row[1] for row in kept], dtype=np.float64),
            np.array([row[2] for row in kept], dtype=np.int64),
            np.array([row[3] for row in kept], dtype=np.float64),
            None if share_in is None else np.array([share_in(row[2]) for row in kept], dtype=np.float64),
            denominators=np.array([1.0 if row[4] is None else row[4] for row in kept]) if ratio else None,
            covariates=np.array([np.nan if row[5] is None else row[5] for row in kept]) if adjusted else None,
        )


@dataclass(frozen=True)
class ExposedPeople:
    """Everybody seen in an arm, in the order (first_at, user_key); `flips`: how many were seen in both."""

    in_challenger: NDArray[np.bool_]
    phase: NDArray[np.int64]
    flips: int

    @classmethod
    def of(cls, rows: Sequence[tuple[str, int, int]]) -> "ExposedPeople":
        """From rows (arm, phase, arms_seen) in order."""
        return cls(
            np.array([row[0] == "challenger" for row in rows], dtype=np.bool_),
            np.array([row[1] for row in rows], dtype=np.int64),
            sum(row[2] > 1 for row in rows),
        )


@dataclass(frozen=True)
class MetricEvidence:
    """One metric. e-values as logarithms (nats); rates are means over people; `effect` is challenger minus control
    with an asymptotic 95 % confidence sequence, for people to look at. None: not known yet, or not a number.

    `effect_without_top`: without the most active people of either arm; `effect_late`: among the later half of those
    exposed; `newest_challenger`, `newest_control`: when the newest value of the arm was frozen, Unix seconds.
    """

    name: str
    role: str
    direction: str
    people_challenger: int
    people_control: int
    rate_challenger: float | None
    rate_control: float | None
    log_e_better: float | None
    log_e_worse: float | None
    log_e_not_inferior: float | None
    effect: float | None
    low: float | None
    high: float | None
    least_people_in_phase: int
    effect_without_top: float | None = None
    effect_late: float | None = None
    newest_challenger: float | None = None
    newest_control: float | None = None
    counted_through: float | None = None
    """The metric's own watermark: everybody filed up to here, Unix seconds, is counted."""
    log_e_worse_now: float | None = None
    """Where `log_e_worse`, the highest it has been, stands at this look: what once looked like harm may have passed."""
    broken: int = 0
    """People whose value is no number in [0, 1], and who are in nothing else."""


@dataclass(frozen=True)
class Evidence:
    """Everything a decision rests on, at one watermark."""

    exposed_challenger: int
    exposed_control: int
    flips: int
    log_e_sample_ratio: float
    metrics: tuple[MetricEvidence, ...]
    unusable: str = ""
    log_e_sample_ratio_segments: Mapping[str, float] = field(default_factory=dict)
    """Segment -> highest logarithm (nats) of its own sample-ratio e-process."""

    def document(self) -> dict[str, object]:
        """As stored with a decision."""
        return asdict(self)


@dataclass(frozen=True)
class EProcesses:
    """The e-processes of one metric; `not_inferior` only for guardrails."""

    better: EProcess
    worse: EProcess
    not_inferior: EProcess | None


def design_of(rules: AbTestingSettings) -> Design:
    """The bettors of an experiment: multiples of the smallest effect of interest, and the plug-in."""
    lifts = tuple(rules.smallest_relative_effect * multiple for multiple in LIFTS)
    return Design(lifts=lifts, plug_in_weight=1 - sum(WEIGHTS), block_people=rules.block_people, weights=WEIGHTS)


def bets_on_scores(metric: MetricSettings) -> bool:
    """Whether the metric is tested by betting on scores, which is faster; it needs a value of everybody assigned. Where
    people without a value are left out the coin is no longer known to be fair, and the two-arm test decides."""
    return metric.missing == "zero" or metric.objective == RETURN


def harm_design(metric: MetricSettings, design: Design) -> Design:
    """For harm done to a guardrail: its own margin, absolute, is the smallest effect of interest."""
    if metric.role != "guardrail":
        return design
    return replace(design, lifts=tuple(metric.delta * multiple for multiple in LIFTS), relative=False)


def betting_design(design: Design, expected_rate: float | None = None) -> BettingDesign:
    """The same bettors for the test that bets on scores; `expected_rate` says where an absolute effect is meant."""
    multiples = tuple(lift / design.lifts[0] for lift in design.lifts)
    base = None if design.relative else expected_rate
    return BettingDesign(design.lifts[0], design.relative, multiples, design.weights or WEIGHTS, base)


def e_processes_of(metric: MetricSettings, people: PersonValues, design: Design) -> EProcesses:
    """The metric's e-processes. Where less is better, the arms change places; rates are never turned over."""
    higher = metric.direction == "higher"

    def test(challenger_above: bool, bettors: Design, margin: float = 0.0) -> EProcess:
        in_a = people.in_challenger if challenger_above else ~people.in_challenger
        if not bets_on_scores(metric):
            return excess_e_process(in_a, people.values, people.phase, bettors, margin)
        return betting_e_process(
            in_a,
            people.values,
            people.shares if challenger_above else 1 - people.shares,
            betting_design(bettors, metric.expected_rate),
            margin,
            denominators=people.denominators,
            covariates=people.covariates,
        )

    return EProcesses(
        better=test(higher, design),
        worse=test(not higher, harm_design(metric, design)),
        not_inferior=test(higher, design, -metric.delta) if metric.role == "guardrail" else None,
    )


def effect_of(people: PersonValues) -> ConfidenceSequence:
    """Challenger minus control after every person, each weighed by the probability that stood at the assignment."""
    scores = augmented_scores(people.in_challenger, people.means, people.shares)
    return mean_confidence_sequence(scores, INTERVAL_PEOPLE, INTERVAL_ALPHA)


def metric_evidence(metric: MetricSettings, people: PersonValues, design: Design, phase: int) -> MetricEvidence:
    """Evidence of one metric from its frozen values; `phase` is the ramp's newest."""
    tests, sequence = e_processes_of(metric, people, design), effect_of(people)
    arms = people.in_challenger
    here = people.phase == phase
    return MetricEvidence(
        name=metric.name,
        role=metric.role,
        direction=metric.direction,
        people_challenger=int(arms.sum()),
        people_control=int((~arms).sum()),
        rate_challenger=_rate(people, arms),
        rate_control=_rate(people, ~arms),
        log_e_better=_number(tests.better.last),
        # Ville's inequality bounds the highest value: harm once proven stays proven.
        log_e_worse=_number(tests.worse.highest),
        log_e_not_inferior=_number(tests.not_inferior.last) if tests.not_inferior else None,
        effect=_last(sequence.estimate),
        low=_last(sequence.low),
        high=_last(sequence.high),
        least_people_in_phase=int(min((arms & here).sum(), (~arms & here).sum())),
        log_e_worse_now=_number(tests.worse.last),
    )


def gather(
    rules: AbTestingSettings, values: Mapping[str, PersonValues], exposed: ExposedPeople, phase: int
) -> Evidence:
    """All evidence. `values`: metric name -> its people. Values that are not in [0, 1] make it unusable, by name."""
    design = design_of(rules)
    found, unusable = [], ""
    for metric in rules.metrics:
        people = values[metric.name]
        outside = int((~((people.values >= 0) & (people.values <= 1))).sum())
        if outside:
            unusable = f"{outside} frozen values of metric {metric.name!r} are not numbers in [0, 1]"
            continue
        found.append(metric_evidence(metric, people, design, phase))
    return Evidence(
        exposed_challenger=int(exposed.in_challenger.sum()),
        exposed_control=int((~exposed.in_challenger).sum()),
        flips=exposed.flips,
        log_e_sample_ratio=sample_ratio(rules, exposed),
        metrics=tuple(found),
        unusable=unusable,
    )


def sample_ratio(rules: AbTestingSettings, exposed: ExposedPeople) -> float:
    """Highest logarithm (nats) so far of the sample-ratio e-process; arms are meant to be equal in every phase."""
    phases = int(exposed.phase.max()) + 1 if exposed.phase.size else 0
    path = sample_ratio_e_process(exposed.in_challenger, exposed.phase, np.full(phases, 0.5), rules.srm_concentration)
    return float(path.max())


def _rate(people: PersonValues, chosen: NDArray[np.bool_]) -> float | None:
    """Mean value of the chosen, or their ratio of sums; None without anybody."""
    whole = float(chosen.sum() if people.denominators is None else people.denominators[chosen].sum())
    return _number(people.values[chosen].sum() / whole) if whole > 0 else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _last(path: NDArray[np.float64]) -> float | None:
    return _number(path[-1]) if path.size else None
