"""The number of series is bounded by declaration; `test_metrics` of e2e holds a running system to the same bounds."""

from math import prod

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from infra.metrics import catalogue
from infra.metrics.label_values import BOUNDS
from infra.metrics.showing import OTHER, show

OBJECTS = {name: value for name, value in vars(catalogue).items() if isinstance(value, MetricWrapperBase)}
MOST_SERIES = 20_000
"""Of one metric in one process, were every value of every label there at once."""


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_labels_are_bounded(name: str) -> None:
    metric = OBJECTS[name]
    assert set(metric._labelnames) <= BOUNDS.keys(), "declare the label in infra/metrics/label_values.py"
    buckets = len(metric._upper_bounds) + 2 if isinstance(metric, Histogram) else 1
    assert prod(BOUNDS[label].most for label in metric._labelnames) * buckets <= MOST_SERIES


def gauge() -> tuple[Gauge, CollectorRegistry]:
    registry = CollectorRegistry()
    return Gauge("shown", "For a test.", ["head"], registry=registry), registry


def values_of(registry: CollectorRegistry) -> dict[str, float]:
    return {sample.labels["head"]: sample.value for family in registry.collect() for sample in family.samples}


def test_what_is_no_longer_there_is_no_longer_shown() -> None:
    shown, registry = gauge()
    show(shown, {("love",): 1.0, ("harm",): 2.0})
    show(shown, {("love",): 3.0})
    assert values_of(registry) == {"love": 3.0}
    show(shown, {})
    assert values_of(registry) == {}


def test_what_there_is_no_room_for_is_summed_as_other() -> None:
    shown, registry = gauge()
    show(shown, {(f"head-{number}",): float(number) for number in range(5)}, most=3)
    assert values_of(registry) == {"head-0": 0.0, "head-1": 1.0, OTHER: 2.0 + 3.0 + 4.0}
    show(shown, {("head-4",): 4.0})
    assert values_of(registry) == {"head-4": 4.0}
