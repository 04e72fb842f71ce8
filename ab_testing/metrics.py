"""From the labels of one person's answers to one number a person and metric. Pure."""

import math
from collections.abc import Mapping, Sequence

from infra.contracts import OBJECTIVES, PlauditError
from infra.settings.ab_testing import MetricSettings

FEEDBACK = "feedback"
"""Not a column of the label: whether the person gave any signal of their own."""

PASSIVE_SIGNALS = ("shown", "dwell")
"""Signals that an app sends by itself; everything else a person gave."""

Values = Mapping[str, float | None]
"""Objective -> value of one answer's label."""


class UnknownMetricObjective(PlauditError):
    """A metric is made from an objective that no label has."""

    code = "unknown_metric_objective"


def check_objectives(metrics: Sequence[MetricSettings], known: Sequence[str] = OBJECTIVES) -> None:
    """Raise UnknownMetricObjective unless every metric can have values: a misnamed metric must never pass silently."""
    for metric in metrics:
        if metric.objective != FEEDBACK and metric.objective not in known:
            raise UnknownMetricObjective(
                f"ab_testing.metrics: {metric.name!r} is made from objective {metric.objective!r}; "
                f"known are {', '.join([*known, FEEDBACK])}",
                field="ab_testing.metrics",
            )


def person_value(metric: MetricSettings, labels: Sequence[Values], responded: bool) -> float | None:
    """The person's value of `metric` in [0, 1], None: no value.

    `labels`: of all the person's answers that were created in the window and have a label (those without one were
    never shown); `responded`: whether the person gave any signal beyond passive ones. `any`: 1 when any answer has
    the objective at 1/2 or more, else 0; `mean`: the mean. Without a value on any answer the metric's `missing` says
    what the person counts as. A value that is not a number makes the person's infinite, which no test takes: read as 0
    in one arm it would make the other look better.
    """
    if metric.objective == FEEDBACK:
        if not labels:
            return 0.0 if metric.missing == "zero" else None
        return 1.0 if responded else 0.0
    values = [value for label in labels if (value := label.get(metric.objective)) is not None]
    if not values:
        return 0.0 if metric.missing == "zero" else None
    if not all(map(math.isfinite, values)):
        return math.inf
    if metric.aggregate == "any":
        return 1.0 if max(values) >= 0.5 else 0.0
    return sum(values) / len(values)
