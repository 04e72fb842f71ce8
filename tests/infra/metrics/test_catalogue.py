"""The naming rules of https://prometheus.io/docs/practices/naming, held by promtool and by what promtool misses."""

import shutil
import subprocess

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from infra.metrics import CONTENT_TYPE, catalogue, exposition

OBJECTS = {name: value for name, value in vars(catalogue).items() if isinstance(value, MetricWrapperBase)}

UNITS = {"seconds", "bytes", "ratio", "nats", "info", "total", "volts", "tokens"}
"""Base units, which end a name; also what counts as one: `_total`, `_info`."""

COUNTED = {
    # Plural nouns and states: what a gauge or histogram without a unit counts.
    "ready", "running", "records", "events", "partitions", "replicas", "people", "labels", "pairs", "requests",
    "adapters", "healthy", "loaded", "proven", "queued", "active", "steps", "rows", "waiting", "in_flight", "pvalue",
    "size", "batch", "items", "lag", "missing", "letters", "looks", "champion", "share", "interactions", "runs",
    "version", "mean", "reasons", "outcome", "paused", "up",
}  # fmt: skip

FOREIGN_UNITS = {
    "ms", "milliseconds", "microseconds", "us", "minutes", "hours", "days", "kb", "mb", "gb", "kib", "mib", "gib",
    "kilobytes", "megabytes", "gigabytes", "percent", "percentage",
}  # fmt: skip

FORBIDDEN_LABELS = {
    "job",
    "instance",
    "user",
    "user_key",
    "user_id",
    "prompt",
    "text",
    "response_id",
    "event_id",
    "conversation_id",
}


def _full_name(metric: MetricWrapperBase) -> str:
    name = str(metric._name)
    return name + "_total" if isinstance(metric, Counter) else name


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_name_help_and_labels(name: str) -> None:
    metric = OBJECTS[name]
    full = _full_name(metric)
    words = full.split("_")
    assert words[0] == "plaudit"
    assert len(metric._documentation) > 10, f"{full} needs a help text"
    assert not set(words) & FOREIGN_UNITS, f"{full} is not in base units"
    assert full.endswith("_total") == isinstance(metric, Counter), f"{full}: _total is for counters, and for them alone"
    known = words[-1] in UNITS or any(full.endswith("_" + counted) for counted in COUNTED)
    assert known, f"{full} ends in no unit of the allow-list"
    assert not set(metric._labelnames) & FORBIDDEN_LABELS, f"{full} would have a series for each person or answer"


@pytest.mark.parametrize("name", sorted(name for name, metric in OBJECTS.items() if isinstance(metric, Histogram)))
def test_buckets_grow_and_seconds_are_long_enough(name: str) -> None:
    bounds = OBJECTS[name]._upper_bounds  # type: ignore[attr-defined]
    assert list(bounds) == sorted(set(bounds))
    assert bounds[-1] == float("inf")


def test_nothing_is_registered_elsewhere() -> None:
    registered = {id(collector) for collector in catalogue.REGISTRY._collector_to_names}
    assert {id(metric) for metric in OBJECTS.values()} == registered


def test_there_is_something_to_check() -> None:
    assert len(OBJECTS) >= 10
    assert any(isinstance(metric, Gauge) for metric in OBJECTS.values())


def test_promtool_finds_nothing() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; on Debian: apt-get install prometheus")
    _touch_every_metric()
    checked = subprocess.run([promtool, "check", "metrics"], input=exposition(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def _touch_every_metric() -> None:
    """A metric with labels shows no sample until it has been used once."""
    for metric in OBJECTS.values():
        if metric._labelnames:
            metric.labels(*["example"] * len(metric._labelnames))


def test_the_text_is_what_prometheus_reads() -> None:
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
    catalogue.JOB_RUNS.labels(job_name="example", outcome="done").inc(0)
    assert b'plaudit_job_runs_total{job_name="example",outcome="done"}' in exposition()
