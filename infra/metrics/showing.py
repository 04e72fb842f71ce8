"""Gauges that show a table read anew before each scrape: what is no longer in the table is no longer shown."""

import threading
from collections.abc import Mapping
from typing import TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import Gauge

OTHER = "other"
"""Label value under which everything is summed that a bound leaves no room for."""

_lock = threading.Lock()
_shown: WeakKeyDictionary[Gauge, frozenset[tuple[str, ...]]] = WeakKeyDictionary()


Labels = TypeVar("Labels", bound=tuple[str, ...])


def show(gauge: Gauge, values: Mapping[Labels, float], most: int = 50) -> None:
    """Make `gauge` show exactly `values` (label values -> number).

    At most `most` series: the first `most` - 1 in the order of the mapping, and the sum of the rest under `other`.
    """
    kept: dict[tuple[str, ...], float] = dict(values.items())
    if len(kept) > most:
        kept = dict(list(values.items())[: most - 1])
        rest = sum(number for labels, number in values.items() if labels not in kept)
        kept[(OTHER,) * len(next(iter(values)))] = rest
    with _lock:
        for labels, number in kept.items():
            gauge.labels(*labels).set(number)
        for labels in _shown.get(gauge, frozenset()) - kept.keys():
            gauge.remove(*labels)
        _shown[gauge] = frozenset(kept)
