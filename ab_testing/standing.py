"""Where an experiment stands: everything counted so far, kept as sums, so that a look costs what is new.

For each candidate's arm against the control there is one state a metric (`MetricState`), one of the sample ratio, and
one of it for each segment. They are written in the transaction that writes the people they count, in the one order in
which people count, so they are what `ab_testing.evidence.gather` makes of all rows at once, crash or not. Erasing a
person deletes the person's rows and leaves the sums: what a test has counted cannot be taken out of it again without
breaking what it guarantees, and a sum names nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from ab_testing.evidence import Evidence, MetricEvidence
from ab_testing.evidence_state import MetricState
from ab_testing.exposures import Due, Exposure
from ab_testing.metrics import Number
from ab_testing.shares import pair_share
from ab_testing.stability import difference, without
from ab_testing.values_repository import StateRow, ValueRow, ValuesRepository
from infra.contracts import Arm, Experiment
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import SampleRatioState

ARRIVALS = ":arrivals"
"""Row of the whole experiment: `counted_through` is the watermark up to which answers were looked at."""
PEOPLE = ":people"
"""Row of a candidate: the sample ratio of everybody exposed."""
SEGMENT = ":segment "
"""Rows of a candidate: the sample ratio within a segment, which is named after it."""
NEVER = float("-inf")


def rules_of(experiment: Experiment) -> AbTestingSettings:
    """The rules this experiment began with: settings that change meanwhile are for the next one."""
    return AbTestingSettings.model_validate(experiment.config["rules"])


@dataclass
class Standing:
    """The states of one experiment in memory; what changed since `of` is in `changed`."""

    experiment: Experiment
    rules: AbTestingSettings
    metrics: dict[tuple[Arm, str], MetricState] = field(default_factory=dict)
    ratios: dict[tuple[Arm, str], SampleRatioState] = field(default_factory=dict)
    through: dict[tuple[Arm, str], float] = field(default_factory=dict)
    people: dict[tuple[Arm, str], int] = field(default_factory=dict)
    _changed: set[tuple[Arm, str]] = field(default_factory=set)

    @classmethod
    def of(cls, experiment: Experiment, rules: AbTestingSettings, rows: Iterable[StateRow]) -> "Standing":
        """From the store's rows."""
        found, metrics = cls(experiment, rules), {metric.name: metric for metric in rules.metrics}
        for row in rows:
            key = row.arm, row.metric
            found.through[key], found.people[key] = row.counted_through, row.people
            if row.metric in metrics:
                found.metrics[key] = MetricState.unpack(row.state, rules, metrics[row.metric])
            elif row.arm:
                found.ratios[key] = SampleRatioState.unpack(row.state, rules.srm_concentration)
        return found

    @property
    def candidates(self) -> list[Arm]:
        """The arms that are each compared with the control."""
        return [arm for arm in self.experiment.arms if arm != "control"]

    def count_exposed(self, people: Sequence[Exposure], segments: Mapping[str, Sequence[str]]) -> None:
        """Count people into the sample ratio, in order; `segments`: user key -> the names of theirs."""
        for person in people:
            for candidate in self._pairs(person.arm):
                for name in (PEOPLE, *(f"{SEGMENT}{segment}" for segment in segments.get(person.user_key, ()))):
                    key = candidate, name
                    state = self.ratios.setdefault(key, SampleRatioState(self.rules.srm_concentration))
                    state.update(person.arm == candidate, person.phase, self._share(candidate, person.phase))
                    self._count(key, person.first_at)

    def count_values(self, rows: Iterable[tuple[Due, str, Number]]) -> None:
        """Count frozen values, in order. What is no number in [0, 1] is counted as broken and in nothing else."""
        metrics = {metric.name: metric for metric in self.rules.metrics}
        for due, name, number in rows:
            for candidate in self._pairs(due.exposure.arm):
                key = candidate, name
                state = self.metrics.get(key)
                if state is None:
                    state = self.metrics[key] = MetricState.begin(self.rules, metrics[name])
                treated = due.exposure.arm == candidate
                _count_value(state, due, number, treated, self._share(candidate, due.exposure.phase))
                self._count(key, due.frozen_at, number.value is not None)

    def rows(self) -> list[StateRow]:
        """What changed, as rows."""
        states: dict[tuple[Arm, str], MetricState | SampleRatioState] = {**self.metrics, **self.ratios}
        return [
            StateRow(*key, states[key].pack(), self.people[key], self.through[key]) for key in sorted(self._changed)
        ]

    @staticmethod
    def newest(rows: Iterable[StateRow], metric: str) -> float:
        """Greatest frozen_at that is counted of a metric; minus infinity without any."""
        return max((row.counted_through for row in rows if row.metric == metric), default=NEVER)

    def evidence(self, candidate: Arm, flips: int, without_top: Mapping[str, float | None]) -> Evidence:
        """Of one candidate against the control. `without_top`: metric -> effect without the most active people."""
        ratio = self.ratios.get((candidate, PEOPLE), SampleRatioState(self.rules.srm_concentration))
        segments = {
            name.removeprefix(SEGMENT): state.highest
            for (arm, name), state in sorted(self.ratios.items())
            if arm == candidate and name.startswith(SEGMENT)
        }
        found, unusable = [], list[str]()
        for metric in self.rules.metrics:
            state = self.metrics.get((candidate, metric.name)) or MetricState.begin(self.rules, metric)
            if state.broken:
                unusable.append(f"{state.broken} frozen values of metric {metric.name!r} are not numbers in [0, 1]")
            found.append(self._metric(candidate, state, without_top.get(metric.name)))
        return Evidence(
            exposed_challenger=int(sum(counts[0] for counts in ratio.counts.values())),
            exposed_control=int(sum(counts[1] for counts in ratio.counts.values())),
            flips=flips,
            log_e_sample_ratio=ratio.highest,
            metrics=tuple(found),
            unusable="; ".join(unusable),
            log_e_sample_ratio_segments=segments,
        )

    def _metric(self, candidate: Arm, state: MetricState, effect_without_top: float | None) -> MetricEvidence:
        through = self.through.get((candidate, state.metric.name))
        return replace(
            state.evidence(self.experiment.phase.index), effect_without_top=effect_without_top, counted_through=through
        )

    def _share(self, candidate: Arm, phase: int) -> float:
        """Probability of the candidate among the people of its comparison, as they were assigned."""
        return pair_share(self.experiment, candidate, "control", phase, self.rules.hash_mode)

    def _pairs(self, arm: Arm) -> list[Arm]:
        """The candidates in whose comparison a person of this arm counts."""
        return self.candidates if arm == "control" else [arm]

    def _count(self, key: tuple[Arm, str], through: float, counts: bool = True) -> None:
        self.people[key] = self.people.get(key, 0) + counts
        self.through[key] = max(self.through.get(key, NEVER), through)
        self._changed.add(key)


class MetricReplay:
    """One metric of a candidate come to again from its frozen rows, a person after the other: what the states say, to
    the last bit, which arrays of all rows at once need not."""

    def __init__(
        self, experiment: Experiment, metric: MetricSettings, candidate: Arm, rows: Sequence[ValueRow]
    ) -> None:
        """`rows`: of the candidate's arm and the control, in the order in which they count."""
        self._experiment, self._rules, self._metric = experiment, rules_of(experiment), metric
        self._candidate, self._rows = candidate, [row for row in rows if row[1] is not None]
        self._state, self._next = MetricState.begin(self._rules, self._metric), 0

    def after(self, people: int, phase: int) -> MetricEvidence:
        """The evidence after the first `people` people; `phase` is the ramp's newest then. Asked in the order of people
        it costs one pass over the rows in all. Fewer rows than people: the state after all of them."""
        if people < sum(self._state.people.values()):
            self._state, self._next = MetricState.begin(self._rules, self._metric), 0
        while self._next < len(self._rows) and sum(self._state.people.values()) < people:
            arm, value, person_phase, frozen_at, denominator, covariate = self._rows[self._next]
            number = Number(value, denominator, covariate)
            share = pair_share(self._experiment, self._candidate, "control", person_phase, self._rules.hash_mode)
            exposure = Exposure("", arm, share, person_phase, 1, frozen_at)
            _count_value(self._state, Due(exposure, frozen_at), number, arm == self._candidate, share)
            self._next += 1
        return self._state.evidence(phase)


def standing_of(connection: Connection, experiment: Experiment) -> Standing:
    """The states as they stand in the store."""
    repository = ValuesRepository(connection, experiment.project, experiment.experiment_id)
    return Standing.of(experiment, rules_of(experiment), repository.states())


def evidence_of(connection: Connection, experiment: Experiment) -> dict[Arm, Evidence]:
    """What was counted says about every candidate, from the states alone; costs the same however many people."""
    repository = ValuesRepository(connection, experiment.project, experiment.experiment_id)
    standing, flips = standing_of(connection, experiment), repository.flips()
    return {
        candidate: standing.evidence(candidate, flips, _without_top(repository, standing, candidate))
        for candidate in standing.candidates
    }


def _without_top(repository: ValuesRepository, standing: Standing, candidate: Arm) -> dict[str, float | None]:
    """Effect of each metric without the most active people of either arm; an erased person is none of them."""
    values = repository.values_of(repository.most_active((candidate, "control"), standing.rules.stability_top_people))
    return {
        metric: difference(without(state.sums, values.get(metric, ()), candidate))
        for (arm, metric), state in standing.metrics.items()
        if arm == candidate
    }


def _count_value(state: MetricState, due: Due, number: Number, treated: bool, share: float) -> None:
    if number.value is None:
        return
    denominator = 1.0 if number.denominator is None else number.denominator
    if not 0 <= number.value <= denominator <= 1:
        state.broken += 1
        return
    state.update(
        "challenger" if treated else "control",
        number.value,
        due.exposure.phase,
        share,
        number.covariate,
        denominator,
        due.frozen_at,
    )
