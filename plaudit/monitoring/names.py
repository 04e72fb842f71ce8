"""Names of metrics in expressions, and those that exist: every one in a rule or a panel must be in the catalogue."""

import re

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from infra.metrics import catalogue

OF_PROMETHEUS = frozenset({"up", "ALERTS"})
"""Series that the server itself makes."""

_NAME = re.compile(r"\b(?:[a-z_]+:)?plaudit[_:][a-z0-9_:]+|\bup\b|\bALERTS\b")
_TEXT = re.compile(r'"[^"]*"')


def catalogued() -> dict[str, MetricWrapperBase]:
    """Every metric by the name of its family as it is exposed: `_total` on counters."""
    found = {}
    for value in vars(catalogue).values():
        if isinstance(value, MetricWrapperBase):
            name = str(value._name) + ("_total" if isinstance(value, Counter) else "")
            found[name] = value
    return dict(sorted(found.items()))


def known_names() -> frozenset[str]:
    """Every series there can be: of a histogram its buckets, sum and count."""
    names = set(OF_PROMETHEUS)
    for name, metric in catalogued().items():
        suffixes = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
        names |= {name + suffix for suffix in suffixes}
    return frozenset(names)


def names_in(expression: str) -> frozenset[str]:
    """Metrics that an expression asks for; words in label values are none."""
    return frozenset(_NAME.findall(_TEXT.sub('""', expression)))
