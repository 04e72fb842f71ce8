"""The course of an experiment: what each look saw, kept for people to see, so that no page counts everybody again.

A point is kept when its people are 1 % more than at the one before: a few hundred points however many people come, and
no finer than an eye can tell apart. Nothing decides by them.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ab_testing.decisions import Situation
from ab_testing.evidence import MetricEvidence
from infra.contracts import Arm, Experiment

GROWTH = 1.01
"""So many times the people of the point before are needed for the next."""
EXPOSED = ":exposed"
"""In place of a metric's name: everybody exposed, with the sample ratio's e-value in `log_e_worse`."""

_OF_METRIC = ("people_challenger", "people_control", "rate_challenger", "rate_control", "log_e_better", "log_e_worse",
              "log_e_not_inferior", "effect", "low", "high")  # fmt: skip


def new_points(
    experiment: Experiment, situations: Mapping[Arm, Situation], counted: Mapping[tuple[Arm, str], int]
) -> list[dict[str, Any]]:
    """What this look adds, as rows without their project; `counted`: people at the newest point by arm and metric."""
    return [
        {"experiment_id": experiment.experiment_id, **point}
        for arm, situation in situations.items()
        for point in _seen(arm, situation)
        if point["people"] > 0 and point["people"] >= GROWTH * counted.get((arm, point["metric"]), 0)
    ]


def _seen(arm: Arm, situation: Situation) -> Iterator[dict[str, Any]]:
    evidence = situation.evidence
    if evidence is None:
        return
    exposed = {
        "people_challenger": evidence.exposed_challenger,
        "people_control": evidence.exposed_control,
        "log_e_worse": evidence.log_e_sample_ratio,
    }
    yield _point(arm, EXPOSED, situation.at, exposed)
    for metric in evidence.metrics:
        yield _point(arm, metric.name, situation.at, _values(metric))


def _values(metric: MetricEvidence) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in _OF_METRIC}


def _point(arm: Arm, metric: str, at: float, values: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: _finite(values.get(name)) for name in _OF_METRIC}
    people = int(values["people_challenger"] + values["people_control"])
    return {"arm": arm, "metric": metric, "people": people, "at": at, **numbers}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
