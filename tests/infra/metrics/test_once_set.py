"""A gauge that was never set says nothing; once it was, whatever it was set to."""

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from infra.metrics import catalogue
from infra.metrics.once_set import OnceSet


def test_there_is_no_sample_before_it_is_set() -> None:
    registry = CollectorRegistry(auto_describe=True)
    gauge = OnceSet("plaudit_example_ready", "An example of a gauge.", registry=registry)
    assert registry.get_sample_value("plaudit_example_ready") is None
    assert b"# TYPE plaudit_example_ready gauge" in generate_latest(registry)
    gauge.set(0.0)
    assert registry.get_sample_value("plaudit_example_ready") == 0.0
    gauge.inc(2)
    gauge.dec()
    assert registry.get_sample_value("plaudit_example_ready") == 1.0


@pytest.mark.parametrize(
    ("act", "value"),
    [
        (lambda gauge: gauge.inc(), 1.0),
        (lambda gauge: gauge.dec(), -1.0),
        (lambda gauge: gauge.set_function(lambda: 7.0), 7.0),
    ],
)
def test_every_way_to_set_it_counts(act: object, value: float) -> None:
    registry = CollectorRegistry(auto_describe=True)
    act(OnceSet("plaudit_example_ready", "An example of a gauge.", registry=registry))  # type: ignore[operator]
    assert registry.get_sample_value("plaudit_example_ready") == value


def test_every_gauge_of_the_catalogue_without_labels_is_one() -> None:
    bare = [metric for metric in vars(catalogue).values() if isinstance(metric, Gauge) and not metric._labelnames]
    assert len(bare) > 20
    assert [metric._name for metric in bare if not isinstance(metric, OnceSet)] == []
