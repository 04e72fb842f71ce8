"""A metric within slices of the held-out rows: segment, source, age, length. Small slices are merged or marked. Pure.

A metric is a function of rows and multipliers, so that one bootstrap serves a mean, an AUROC or a calibration error:

    lambda rows, v: auroc(targets[rows], scores[rows], weights[rows] * v)
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reward_model.evaluation import FEW_GROUPS, Groups, Interval, InvalidEvaluation, cluster_index, few_groups_interval

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Metric = Callable[[Ints, Array], float | None]
"""(rows [S] of the data, multipliers [S] >= 0) -> the metric on them, None where it is not defined."""

OTHER = "(other)"


@dataclass(frozen=True)
class Slice:
    """One slice: its `column` and `label`, the metric with its interval over `interval.groups` people (`interval` is
    None where the metric is not defined), whether it is too `small` to be read, and the labels `merged` into it."""

    column: str
    label: str
    interval: Interval | None
    small: bool
    merged: tuple[str, ...] = ()

    def differs(self, whole: float) -> bool:
        """Whether the metric on all rows, `whole`, lies outside this slice's interval. A small slice never differs."""
        found = self.interval
        return not self.small and found is not None and not found.low <= whole <= found.high


def mean_of(values: Array, weights: Array) -> Metric:
    """The weighted mean of `values` [N] as a metric: accuracy from `wins`, Brier score, log-loss."""

    def metric(rows: Ints, multipliers: Array) -> float | None:
        mass = weights[rows] * multipliers
        total = float(mass.sum())
        return float(mass @ values[rows]) / total if total > 0 else None

    return metric


class Binned(list[str]):
    """Labels [N] of bins, which know the `order` of their names, lowest bin first."""

    def __init__(self, labels: Iterable[str], order: Sequence[str]) -> None:
        super().__init__(labels)
        self.order = tuple(order)


def bin_names(edges: Sequence[float], unit: str = "") -> list[str]:
    """Names of the intervals cut at rising `edges`, lowest first: "< 1 day", "1-7 day", ">= 7 day"."""
    if not edges or any(not a < b for a, b in pairwise(edges)):
        raise InvalidEvaluation(f"edges are {list(edges)}; they must be one or more rising numbers", field="edges")
    tail = f" {unit}" if unit else ""
    between = [f"{a:g}-{b:g}{tail}" for a, b in pairwise(edges)]
    return [f"< {edges[0]:g}{tail}", *between, f">= {edges[-1]:g}{tail}"]


def bins(values: Array, edges: Sequence[float], unit: str = "") -> Binned:
    """Labels [N] of intervals [a, b) cut at rising `edges`, as `bin_names` calls them; "unknown" for NaN."""
    names = bin_names(edges, unit)
    place = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    found = ("unknown" if np.isnan(x) else names[i] for x, i in zip(values.tolist(), place.tolist(), strict=True))
    return Binned(found, names)


def quantile_bins(values: Array, count: int, unit: str = "") -> Binned:
    """Labels [N] of about `count` bins of equal size, cut at quantiles (to three figures) of the finite values."""
    finite = values[np.isfinite(values)]
    if count < 2 or not len(finite):
        return Binned(["all"] * len(values), ["all"])
    cuts = np.quantile(finite, np.arange(1, count) / count)
    edges = sorted({float(f"{cut:.3g}") for cut in cuts})
    edges = [edge for edge in edges if finite.min() < edge <= finite.max()]
    return bins(values, edges, unit) if edges else Binned(["all"] * len(values), ["all"])


def sliced(
    metric: Metric,
    columns: Mapping[str, Sequence[str]],
    people: Sequence[Hashable | None] | Groups,
    *,
    smallest: int = 30,
    resamples: int = 500,
    seed: int = 0,
) -> tuple[Slice, ...]:
    """The metric in every slice of every column; columns: name -> labels [N]; people [N] are resampled whole.

    Slices of fewer than `smallest` rows are merged into "(other)" of their column, which names them; one that stands
    alone, or stays below, is marked small, as is one of fewer than ten people. Order: columns as given, bins from
    the lowest up, other labels by size. Raises InvalidEvaluation for a column of another length.
    """
    index, _ = cluster_index(people)
    found: list[Slice] = []
    for column, labels in columns.items():
        if len(labels) != len(index):
            raise InvalidEvaluation(
                f"column {column!r} has {len(labels)} labels for {len(index)} rows; give one a row", field=column
            )
        for label, rows, merged in _merged(labels, smallest, labels.order if isinstance(labels, Binned) else ()):
            interval = _interval(metric, rows, index[rows], resamples, seed)
            small = len(rows) < smallest or interval is None or interval.groups < FEW_GROUPS
            found.append(Slice(column, label, interval, small, merged))
    return tuple(found)


def whole(
    metric: Metric, people: Sequence[Hashable | None] | Groups, *, resamples: int = 500, seed: int = 0
) -> Interval | None:
    """The metric on all N rows with its interval; None where it is not defined."""
    index, _ = cluster_index(people)
    return _interval(metric, np.arange(len(index)), index, resamples, seed)


def _merged(labels: Sequence[str], smallest: int, order: Sequence[str]) -> list[tuple[str, Ints, tuple[str, ...]]]:
    """(label, rows, labels merged into it): those of `order` first, then the largest, "(other)" last."""
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        rows.setdefault(label, []).append(i)
    place = {label: i for i, label in enumerate(order)}
    ordered = sorted(rows, key=lambda label: (place.get(label, len(place)), -len(rows[label]), label))
    few = [label for label in ordered if len(rows[label]) < smallest]
    if len(few) < 2:
        few = []
    kept: list[tuple[str, Ints, tuple[str, ...]]] = [
        (label, np.asarray(rows[label], np.int64), ()) for label in ordered if label not in few
    ]
    if not few:
        return kept
    together = np.sort(np.concatenate([np.asarray(rows[label], np.int64) for label in few]))
    return [*kept, (OTHER, together, tuple(sorted(few)))]


def _interval(metric: Metric, rows: Ints, index: Ints, resamples: int, seed: int) -> Interval | None:
    """Percentile bootstrap over whole people; `few_groups_interval` for fewer than ten."""
    estimate = metric(rows, np.ones(len(rows))) if len(rows) else None
    if estimate is None:
        return None
    _, units = np.unique(index, return_inverse=True)
    count = int(units.max()) + 1
    if count < FEW_GROUPS:
        low, high = few_groups_interval(estimate, count)
        return Interval(estimate, low, high, len(rows), count)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(resamples):
        times = rng.multinomial(count, np.full(count, 1.0 / count)).astype(np.float64)
        value = metric(rows, times[units])
        if value is not None:
            draws.append(value)
    if not draws:
        return None
    low, high = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
    return Interval(estimate, low, high, len(rows), count)
