"""Metrics of probability heads and of pairwise accuracy, on data the model has not seen. Pure numpy."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError

Array = NDArray[np.float64]
Groups = NDArray[np.int64]

FEW_GROUPS = 10
"""Below as many groups a bootstrap over groups is too narrow."""
_Z95 = 1.959963984540054


class InvalidEvaluation(PlauditError):
    """Numbers that cannot be evaluated; the row or the column is named."""

    code = "invalid_evaluation"
    status = 422


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `count` observations in `groups` independent groups."""

    estimate: float
    low: float
    high: float
    count: int
    groups: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2.0


def auroc(targets: Array, scores: Array, weights: Array) -> float | None:
    """Probability that a positive outranks a negative, ties half; soft targets count as both. None without both.

    sum_ij y_i (1 - y_j) v_i v_j [1(s_i > s_j) + 1/2 1(s_i = s_j)] / (sum_i y_i v_i sum_j (1 - y_j) v_j - diagonal).
    """
    positive, negative = weights * targets, weights * (1.0 - targets)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    first = np.searchsorted(ranked, ranked, side="left")
    after = np.searchsorted(ranked, ranked, side="right")
    below = np.concatenate([[0.0], np.cumsum(negative[order])])
    own = (positive * negative)[order]
    wins = positive[order] * (below[first] + 0.5 * (below[after] - below[first])) - 0.5 * own
    pairs = positive.sum() * negative.sum() - own.sum()
    return float(wins.sum() / pairs) if pairs > 0 else None


def brier(targets: Array, probabilities: Array, weights: Array) -> float:
    """Weighted mean of (p - y)^2."""
    return float(np.average((probabilities - targets) ** 2, weights=weights))


def log_loss(targets: Array, probabilities: Array, weights: Array) -> float:
    """Weighted mean cross-entropy, nats; probabilities are clipped to [1e-6, 1 - 1e-6]."""
    p = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return float(np.average(-(targets * np.log(p) + (1.0 - targets) * np.log1p(-p)), weights=weights))


def log_losses(targets: Array, probabilities: Array) -> Array:
    """Cross-entropy of each label [N], nats; clipped as in `log_loss`. What `clustered_comparison` compares."""
    p = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return np.asarray(-(targets * np.log(p) + (1.0 - targets) * np.log1p(-p)))


def pair_log_losses(margins: Array, flip_rate: float | Array = 0.0) -> Array:
    """-log[(1 - e) s(z) + e s(-z)] of each recorded preference [M], nats: margins z [M], flip rate e in [0, 0.5)."""
    clean, flipped = -np.logaddexp(0.0, -margins), -np.logaddexp(0.0, margins)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.logaddexp(clean + np.log1p(-flip_rate), flipped + np.log(flip_rate)))


def expected_calibration_error(targets: Array, probabilities: Array, weights: Array, bins: int = 10) -> float:
    """Weighted mean over equal-count bins of |mean y - mean p|. Biased upwards on few rows: see `ece_if_calibrated`."""
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        mass = weights[part].sum()
        if mass > 0:
            error += abs(float(weights[part] @ (targets[part] - probabilities[part])))
    return error / float(weights.sum())


def ece_if_calibrated(probabilities: Array, weights: Array, seed: int = 0, draws: int = 200) -> float:
    """95th percentile of the calibration error that a *perfect* model with these probabilities would show here.

    Targets are redrawn from the probabilities; a measured error below this is no evidence of miscalibration.
    """
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(draws):
        redrawn = (rng.random(len(probabilities)) < probabilities).astype(np.float64)
        errors.append(expected_calibration_error(redrawn, probabilities, weights))
    return float(np.quantile(errors, 0.95))


def correlation(a: Array, b: Array) -> float | None:
    """Pearson's r; None when either is constant or there are fewer than three points."""
    if len(a) < 3 or np.std(a) == 0.0 or np.std(b) == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def wins(margins: Array) -> Array:
    """1 where the preferred answer got the greater utility, 1/2 on a tie, 0 otherwise."""
    return np.asarray((margins > 0).astype(np.float64) + 0.5 * (margins == 0))


def cluster_index(units: Sequence[Hashable | None] | Groups) -> tuple[Groups, int]:
    """A number in [0, G) for each of N rows, equal for equal units (people, conversations), and G.

    None is nobody we know: each such row is a unit of its own.
    """
    if isinstance(units, np.ndarray):
        names, index = np.unique(units, return_inverse=True)
        return np.asarray(index, np.int64).reshape(-1), len(names)
    numbers: dict[Hashable, int] = {}
    found = [numbers.setdefault(("row", i) if u is None else ("unit", u), len(numbers)) for i, u in enumerate(units)]
    return np.asarray(found, np.int64).reshape(-1), len(numbers)


def group_sums(index: Groups, values: Array, count: int) -> Array:
    """[G]: the sum of `values` [N] in each of `count` groups that `index` [N] numbers."""
    return np.asarray(np.bincount(index, values, count), np.float64)


def require_finite(**columns: Array) -> None:
    """Raise InvalidEvaluation unless all columns have one length and only finite values; column and row are named."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidEvaluation(f"columns differ in length ({shown}); give one value a row in each", field="rows")
    for name, column in columns.items():
        wrong = ~np.isfinite(column)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InvalidEvaluation(f"{name}: row {row} is {column[row]}; it must be finite", field=name)


def clustered_interval(values: Array, groups: Groups, weights: Array, *, resamples: int, seed: int) -> Interval:
    """Weighted mean of `values` with a 95 % percentile bootstrap over whole `groups`; arrays [N], N >= 1.

    Pairs of one question or conversation share their answers, so rows are not independent: groups are resampled. With
    fewer than ten groups the bootstrap is too narrow, and `few_groups_interval` is given instead.
    """
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    top, bottom = np.bincount(index, weights * values, count), np.bincount(index, weights, count)
    estimate = float(top.sum() / bottom.sum())
    if count < FEW_GROUPS:
        low, high = few_groups_interval(estimate, count)
    else:
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(count, np.full(count, 1.0 / count), size=resamples).astype(np.float64)
        means = (draws @ top) / np.maximum(draws @ bottom, 1e-12)
        low, high = (float(q) for q in np.quantile(means, [0.025, 0.975]))
    return Interval(estimate, low, high, len(values), count)


def few_groups_interval(estimate: float, groups: int) -> tuple[float, float]:
    """For fewer than ten groups: Wilson's interval on the number of groups for a metric in [0, 1], for any other
    (-inf, inf), since nothing is known of its spread."""
    return wilson(estimate, groups) if 0.0 <= estimate <= 1.0 else (float("-inf"), float("inf"))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval for a proportion `share` of `count` independent trials (Wilson 1927)."""
    z2 = _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return float(centre - half), float(centre + half)
