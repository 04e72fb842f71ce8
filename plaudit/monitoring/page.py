"""`docs/metrics.md`: every metric, its kind, labels and meaning, made from the catalogue."""

from collections.abc import Iterator
from itertools import groupby

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from infra.metrics.label_values import BOUNDS
from plaudit.monitoring.names import catalogued

_HEAD = """# Metrics

Written by `plaudit config metrics`; a test keeps it true. Every long-lived process has `/metrics`; what jobs leave in
the store (they may end before anybody scrapes them) is exported by the gateway, so rules take the `max` over replicas.
No label names a person, an answer or a text. Alerts are in `infra/deploy/prometheus/rules.yml`, their pages in
[runbooks](runbooks), dashboards in `infra/deploy/grafana/dashboards`.
"""


def metrics_page() -> str:
    """The text of the page."""
    lines = [_HEAD]
    for area, members in groupby(catalogued().items(), key=lambda item: item[0].split("_")[1]):
        lines += [f"## {area}", "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [_row(name, metric) for name, metric in members]
        lines.append("")
    lines += ["## Labels", "", "| label | values | at most |", "|---|---|---|"]
    lines += list(_labels())
    return "\n".join(lines) + "\n"


def _row(name: str, metric: MetricWrapperBase) -> str:
    kind = "histogram" if isinstance(metric, Histogram) else "counter" if isinstance(metric, Counter) else "gauge"
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {kind} | {labels} | {metric._documentation} |"


def _labels() -> Iterator[str]:
    for label, bound in sorted(BOUNDS.items()):
        yield f"| `{label}` | {bound.what} | {bound.most} |"
