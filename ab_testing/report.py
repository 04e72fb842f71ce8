"""An experiment's evidence over time, recomputed from its frozen values, for reports and consoles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from ab_testing.decisions import boundary
from ab_testing.evidence import Evidence, PersonValues, design_of, e_processes_of, effect_of
from ab_testing.ledger import verify_chain
from ab_testing.repository import ExperimentRepository
from ab_testing.shares import pair_share
from ab_testing.standing import evidence_of, rules_of
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Decision, Experiment
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import Design


@dataclass(frozen=True)
class EvidencePoint:
    """What was known when `people` people had a frozen value: at `at`, Unix seconds. e-values as logarithms (nats);
    `effect` is challenger minus control with its 95 % confidence sequence (infinite while there are too few)."""

    at: float
    people: int
    people_challenger: int
    people_control: int
    rate_challenger: float
    rate_control: float
    log_e_better: float
    log_e_worse: float
    log_e_not_inferior: float | None
    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class MetricReport:
    """One metric's course: a point for every closed block of the test. Boundaries in nats: what each e-value must
    reach; `boundary_better` is None for guardrails, `boundary_not_inferior` for goals."""

    name: str
    role: str
    direction: str
    boundary_better: float | None
    boundary_worse: float
    boundary_not_inferior: float | None
    points: tuple[EvidencePoint, ...]


@dataclass(frozen=True)
class ExperimentReport:
    """One experiment: its evidence now and over time, and its decisions in order."""

    experiment: Experiment
    evidence: Evidence
    metrics: tuple[MetricReport, ...]
    decisions: tuple[Decision, ...]


def experiment_report(
    connection: Connection, project: str, experiment_id: str | None = None
) -> ExperimentReport | None:
    """The report of one experiment, by default of the newest; None when there is none.

    Raises LedgerTampered when the project's ledger does not hold together.
    """
    repository = ExperimentRepository(connection, project)
    verify_chain(repository.decisions())
    experiment = repository.newest() if experiment_id is None else repository.experiment(experiment_id)
    if experiment is None:
        return None
    rules = rules_of(experiment)
    rows = ValuesRepository(connection, project, experiment.experiment_id).values("challenger")
    design = design_of(rules)

    def share_in(phase: int) -> float:
        return pair_share(experiment, "challenger", "control", phase, rules.hash_mode)

    return ExperimentReport(
        experiment=experiment,
        evidence=evidence_of(connection, experiment)["challenger"],
        metrics=tuple(
            metric_report(metric, PersonValues.of(rows.get(metric.name, []), share_in=share_in), rules, design)
            for metric in rules.metrics
        ),
        decisions=tuple(repository.decisions(experiment.experiment_id)),
    )


def metric_report(
    metric: MetricSettings, people: PersonValues, rules: AbTestingSettings, design: Design
) -> MetricReport:
    """The course of one metric from its frozen values."""
    goals = sum(other.role == "goal" for other in rules.metrics)
    guardrail = metric.role == "guardrail"
    return MetricReport(
        name=metric.name,
        role=metric.role,
        direction=metric.direction,
        boundary_better=None if guardrail else boundary(rules.alpha_promote, goals),
        boundary_worse=boundary(rules.alpha_rollback, len(rules.metrics)),
        boundary_not_inferior=boundary(rules.alpha_promote, 1) if guardrail else None,
        points=evidence_points(metric, people, design),
    )


def evidence_points(metric: MetricSettings, people: PersonValues, design: Design) -> tuple[EvidencePoint, ...]:
    """A point for every closed block."""
    tests, effect = e_processes_of(metric, people, design), effect_of(people)
    n_challenger, rate_challenger = _running_mean(people.in_challenger, people.values)
    n_control, rate_control = _running_mean(~people.in_challenger, people.values)
    points = []
    for block, counted in enumerate(tests.better.people[1:], start=1):
        last = int(counted) - 1
        not_inferior = tests.not_inferior
        points.append(
            EvidencePoint(
                at=float(people.frozen_at[last]),
                people=int(counted),
                people_challenger=int(n_challenger[last]),
                people_control=int(n_control[last]),
                rate_challenger=float(rate_challenger[last]),
                rate_control=float(rate_control[last]),
                log_e_better=float(tests.better.log_e[block]),
                log_e_worse=float(tests.worse.log_e[block]),
                log_e_not_inferior=None if not_inferior is None else float(not_inferior.log_e[block]),
                effect=float(effect.estimate[last]),
                low=float(effect.low[last]),
                high=float(effect.high[last]),
            )
        )
    return tuple(points)


def _running_mean(
    chosen: NDArray[np.bool_], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """People and mean value among the chosen, after every person; the mean of nobody is 0."""
    people = np.cumsum(chosen.astype(np.int64))
    return people, np.cumsum(values * chosen) / np.maximum(people, 1)
