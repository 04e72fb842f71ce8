"""From the labels of one person's answers to one number a person and metric. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.contracts import OBJECTIVES, PlauditError
from infra.settings.ab_testing import MetricSettings

FEEDBACK = "feedback"
"""Not a column of the label: whether the person gave any signal of their own."""
RETURN = "return"
"""Not a column of the label: whether the person came back on another day."""
ANSWERS = "answers"
"""Denominator of a ratio: the answers that have the objective."""

PASSIVE_SIGNALS = ("shown", "dwell")
"""Signals that an app sends by itself; everything else a person gave."""

Values = Mapping[str, float | None]
"""Objective -> value of one answer's label."""


class UnknownMetricObjective(PlauditError):
    """A metric is made from an objective that no label has."""

    code = "unknown_metric_objective"


@dataclass(frozen=True)
class Number:
    """A person's value in [0, 1], None: no value; `denominator` in [value, 1] for ratios, else None; `covariate`: what
    was known before exposure, None: nothing."""

    value: float | None
    denominator: float | None = None
    covariate: float | None = None


def check_objectives(metrics: Sequence[MetricSettings], known: Sequence[str] = OBJECTIVES) -> None:
    """Raise UnknownMetricObjective unless every metric can have values: a misnamed metric must never pass silently."""
    for metric in metrics:
        denominators = [metric.denominator] if metric.aggregate == "ratio" else []
        for name, more in ((metric.objective, (FEEDBACK, RETURN)), *((name, (ANSWERS,)) for name in denominators)):
            if name not in (*known, *more):
                raise UnknownMetricObjective(
                    f"ab_testing.metrics: {metric.name!r} is made from objective {name!r}; "
                    f"known are {', '.join([*known, *more])}",
                    field="ab_testing.metrics",
                )


def person_value(
    metric: MetricSettings, labels: Sequence[Values], responded: bool, returned: bool = False
) -> float | None:
    """The person's value of `metric` in [0, 1], None: no value.

    `labels`: of all the person's answers that were created in the window and have a label (those without one were
    never shown); `responded`: whether the person gave any signal beyond passive ones; `returned`: whether the person
    was active again. `any`: 1 when any answer has the objective at 1/2 or more, else 0; `mean`: the mean; `sum`:
    min(sum, cap) / cap; `ratio`: the numerator, see `person_number`. Without a value on any answer the metric's
    `missing` says what the person counts as. A value that is not a number makes the person's infinite, which no test
    takes: read as 0 in one arm it would make the other look better.
    """
    return person_number(metric, labels, responded, returned).value


def person_number(metric: MetricSettings, labels: Sequence[Values], responded: bool, returned: bool = False) -> Number:
    """As `person_value`, with the denominator of a ratio: both are divided by the cap, and where the denominator is
    above the cap the person's own ratio is kept and weighs as much as the cap allows."""
    missing = Number(0.0 if metric.missing == "zero" else None)
    if not all(
        math.isfinite(value) for name in (metric.objective, metric.denominator) for value in _present(labels, name)
    ):
        return Number(math.inf)
    if metric.objective == RETURN:
        return Number(1.0 if returned else 0.0)
    if metric.objective == FEEDBACK:
        return Number(1.0 if responded else 0.0) if labels else missing
    if metric.aggregate == "ratio":
        return _ratio(metric, labels)
    values = _present(labels, metric.objective)
    if not values:
        return missing
    if metric.aggregate == "any":
        return Number(1.0 if max(values) >= 0.5 else 0.0)
    if metric.aggregate == "sum":
        return Number(min(sum(values), metric.cap) / metric.cap)
    return Number(sum(values) / len(values))


def covariate_of(
    metric: MetricSettings, labels: Sequence[Values], responses: int, active_days: int, days: float
) -> float | None:
    """What the metric's objective was like for this person before exposure, in [0, 1]; None: nothing is known.

    The mean over the labelled answers of those `days`; for `feedback` the share of them that drew a signal
    (`responses`), for `return` the share of days on which the person was active.
    """
    if metric.objective == RETURN:
        return min(1.0, active_days / max(days, 1.0))
    if metric.objective == FEEDBACK:
        return min(1.0, responses / len(labels)) if labels else None
    values = _present(labels, metric.objective)
    return sum(values) / len(values) if values else None


def _ratio(metric: MetricSettings, labels: Sequence[Values]) -> Number:
    """Sums over the answers that have the objective and the denominator."""
    pairs = [
        (value, 1.0 if metric.denominator == ANSWERS else label.get(metric.denominator))
        for label in labels
        if (value := label.get(metric.objective)) is not None
    ]
    whole = sum(under for _value, under in pairs if under is not None)
    if not whole > 0:
        return Number(0.0, 0.0)
    part = min(sum(value for value, under in pairs if under is not None), whole)
    weight = min(whole, metric.cap) / metric.cap
    return Number(part / whole * weight, weight)


def _present(labels: Iterable[Values], objective: str) -> list[float]:
    return [value for label in labels if (value := label.get(objective)) is not None]
