"""Whether an effect rests on a few busy people or on a first impression. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ab_testing.evidence import Evidence


@dataclass(frozen=True)
class ActivePerson:
    """A person's frozen value of a metric, with the instants of first exposure and of freezing, and the number of
    answers in the experiment."""

    metric: str
    arm: str
    value: float
    user_key: str
    first_at: float
    frozen_at: float
    answers: int


def with_robustness(evidence: Evidence, people: Sequence[ActivePerson], top: int) -> Evidence:
    """The evidence with `effect_without_top`, `effect_late` and the instants of the newest values; `people` of the two
    arms in question."""
    by_metric: dict[str, list[ActivePerson]] = defaultdict(list)
    for person in people:
        by_metric[person.metric].append(person)
    metrics = []
    for metric in evidence.metrics:
        known = by_metric[metric.name]
        busiest = {p.user_key for p in sorted(known, key=lambda p: (-p.answers, p.user_key))[:top]}
        median = float(np.median([p.first_at for p in known])) if known else 0.0
        metrics.append(
            replace(
                metric,
                effect_without_top=_effect([p for p in known if p.user_key not in busiest]),
                effect_late=_effect([p for p in known if p.first_at > median]),
                newest_challenger=max((p.frozen_at for p in known if p.arm != "control"), default=None),
                newest_control=max((p.frozen_at for p in known if p.arm == "control"), default=None),
            )
        )
    return replace(evidence, metrics=tuple(metrics))


def _effect(people: Sequence[ActivePerson]) -> float | None:
    control = [p.value for p in people if p.arm == "control"]
    challenger = [p.value for p in people if p.arm != "control"]
    if not control or not challenger:
        return None
    return float(np.mean(challenger) - np.mean(control))
