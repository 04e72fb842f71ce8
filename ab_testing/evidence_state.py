"""A metric's evidence a person at a time: constant time an update, under a kilobyte to store, equal to `evidence`."""

import struct
from dataclasses import dataclass, field

from ab_testing.evidence import (
    INTERVAL_ALPHA,
    INTERVAL_PEOPLE,
    MetricEvidence,
    bets_on_scores,
    betting_design,
    design_of,
    harm_design,
)
from ab_testing.stability import LaterPeople, Sums, difference
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import (
    AsymptoticDesign,
    AsymptoticState,
    BettingState,
    Design,
    EState,
    InvalidStatisticsInput,
    TwoArmState,
)

_LENGTHS = struct.Struct("<5H")
_COUNTS = struct.Struct("<12d")
_ARMS = ("challenger", "control")


@dataclass
class MetricState:
    """Evidence of one metric, fed by `update` in the order in which people's values were frozen.

    The rules are those frozen with the experiment; they are not stored with `pack`. `interval` is the adjusted
    asymptotic sequence for people to look at. `newest`: the greatest frozen_at of each arm; `broken`: people whose
    value was no number in [0, 1] and who are in nothing else; `later`: for the effect among the later half.
    """

    rules: AbTestingSettings
    metric: MetricSettings
    better: EState
    worse: EState
    not_inferior: EState | None
    interval: AsymptoticState
    people: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0.0))
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0.0))
    wholes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0.0))
    newest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0.0))
    phase: int = 0
    phase_people: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0.0))
    broken: int = 0
    later: LaterPeople = field(default_factory=LaterPeople)

    @classmethod
    def begin(cls, rules: AbTestingSettings, metric: MetricSettings) -> "MetricState":
        """Nobody counted yet."""
        design = design_of(rules)
        guarded = metric.role == "guardrail"
        return cls(
            rules,
            metric,
            _begin(metric, design, 0.0),
            _begin(metric, harm_design(metric, design), 0.0),
            _begin(metric, design, -metric.delta) if guarded else None,
            AsymptoticState(AsymptoticDesign(INTERVAL_PEOPLE)),
        )

    def update(
        self,
        arm: str,
        value: float,
        phase: int,
        propensity: float = 0.5,
        covariate: float | None = None,
        denominator: float = 1.0,
        frozen_at: float = 0.0,
    ) -> None:
        """Count one person. `arm`: challenger or control; `propensity`: of the challenger among counted people, as at
        assignment; `covariate`: from before exposure. Raises InvalidStatisticsInput and then has counted nobody."""
        if arm not in _ARMS:
            raise InvalidStatisticsInput(f"arm must be challenger or control, got {arm!r}", field="arm")
        if not 0 <= value <= denominator <= 1 or not 0 < propensity < 1:
            raise InvalidStatisticsInput(
                f"need 0 <= value <= denominator <= 1 and 0 < propensity < 1, got {value}, {denominator}, {propensity}",
                field="values",
            )
        challenger = arm == "challenger"
        for state, above in ((self.better, True), (self.worse, False), (self.not_inferior, True)):
            if state is not None:
                challenger_above = above == (self.metric.direction == "higher")
                share = propensity if challenger_above else 1 - propensity
                state.update(challenger == challenger_above, value, phase, share, covariate, denominator)
        self.interval.update(challenger, self._linearised(value, denominator), phase, propensity, covariate)
        if phase > self.phase:
            self.phase, self.phase_people = phase, dict.fromkeys(_ARMS, 0.0)
        self.people[arm] += 1
        # Somebody of an earlier phase whose value comes late says nothing about the newest one, and takes nothing away.
        self.phase_people[arm] += phase == self.phase
        self.totals[arm] += value
        self.wholes[arm] += denominator
        self.newest[arm] = max(self.newest[arm], frozen_at)
        self.later.update(int(sum(self.people.values())), self.sums)

    @property
    def sums(self) -> Sums:
        """Sum of values and of denominators, of the challenger, then of the control."""
        (a, b), (whole_a, whole_b) = self.totals.values(), self.wholes.values()
        return a, whole_a, b, whole_b

    def _linearised(self, value: float, denominator: float) -> float:
        """As `PersonValues.means`: the value itself, unless it is a ratio's."""
        if self.metric.aggregate != "ratio":
            return value / denominator if denominator else 0.0
        whole, n = sum(self.wholes.values()), sum(self.people.values())
        ratio, size = (sum(self.totals.values()) / whole, whole / n) if whole > 0 else (0.5, 1.0)
        return ratio + (value - ratio * denominator) / size

    def evidence(self, phase: int) -> MetricEvidence:
        """As `metric_evidence`, now; `phase` is the ramp's newest. The interval is adjusted for covariates here."""
        effect, low, high = self.interval.interval(INTERVAL_ALPHA)
        count = {arm: int(self.people[arm]) for arm in _ARMS}
        known = self.interval.people > 0
        rates = {arm: self.totals[arm] / self.wholes[arm] if self.wholes[arm] > 0 else None for arm in _ARMS}
        return MetricEvidence(
            name=self.metric.name,
            role=self.metric.role,
            direction=self.metric.direction,
            people_challenger=count["challenger"],
            people_control=count["control"],
            rate_challenger=rates["challenger"],
            rate_control=rates["control"],
            log_e_better=self.better.log_e,
            log_e_worse=self.worse.highest,
            log_e_not_inferior=self.not_inferior.log_e if self.not_inferior is not None else None,
            effect=effect if known else None,
            low=low if self.interval.people > 1 else None,
            high=high if self.interval.people > 1 else None,
            least_people_in_phase=int(min(self.phase_people.values())) if phase == self.phase else 0,
            effect_late=difference(self.later.later(sum(count.values()), self.sums)),
            newest_challenger=self.newest["challenger"] or None,
            newest_control=self.newest["control"] or None,
            log_e_worse_now=self.worse.log_e,
            broken=self.broken,
        )

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        parts = [
            state.pack() if state is not None else b""
            for state in (self.better, self.worse, self.not_inferior, self.interval, self.later)
        ]
        by_arm = (self.people, self.totals, self.wholes, self.newest, self.phase_people)
        counts = (*(number for kept in by_arm for number in kept.values()), float(self.phase), float(self.broken))
        return _LENGTHS.pack(*map(len, parts)) + _COUNTS.pack(*counts) + b"".join(parts)

    @classmethod
    def unpack(cls, packed: bytes, rules: AbTestingSettings, metric: MetricSettings) -> "MetricState":
        """The state that was packed, under the same rules."""
        state, at, parts = cls.begin(rules, metric), _LENGTHS.size + _COUNTS.size, []
        for length in _LENGTHS.unpack_from(packed):
            parts.append(packed[at : at + length])
            at += length
        state.better = state.better.restored(parts[0])
        state.worse = state.worse.restored(parts[1])
        if state.not_inferior is not None:
            state.not_inferior = state.not_inferior.restored(parts[2])
        state.interval = state.interval.restored(parts[3])
        state.later = LaterPeople.unpack(parts[4])
        *counts, phase, broken = _COUNTS.unpack_from(packed, _LENGTHS.size)
        kept = [dict(zip(_ARMS, counts[at : at + 2], strict=True)) for at in range(0, len(counts), 2)]
        state.people, state.totals, state.wholes, state.newest, state.phase_people = kept
        state.phase, state.broken = int(phase), int(broken)
        return state


def _begin(metric: MetricSettings, design: Design, margin: float) -> EState:
    if bets_on_scores(metric):
        return BettingState(betting_design(design, metric.expected_rate), margin)
    return TwoArmState(design, margin)
