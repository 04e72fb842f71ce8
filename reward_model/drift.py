"""Has the world moved since the training window? Features, scores and label rates of two windows. Pure numpy.

Shape: population stability index over B bins cut at quantiles of the reference window,

    PSI = sum_b (q_b - p_b) log(q_b / p_b),

which without any change is about (1/n + 1/m) chi-square with B - 1 degrees of freedom (Yurdakul 2018): its mean is
taken off, and its 99 % point is the least that counts as change. n and m count people rather than rows, as if all rows
of a person were alike (Kish: (sum_c n_c)^2 / sum_c n_c^2). The Kolmogorov-Smirnov distance stands beside it.

Rate: difference of mean labels, interval clustered by person over both windows together, so that people who are in both
count as what they are.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reward_model.evaluation import Groups, InvalidEvaluation, cluster_index

Array = NDArray[np.float64]

MODERATE_PSI = 0.1
"""Above it the usual reading is a moderate change; above 0.25 a major one."""
_FEWEST_ROWS = 50


@dataclass(frozen=True)
class Window:
    """Rows of one stretch of time: scores name -> [N], labels name -> [N] (NaN where missing), features [N, D] or None,
    and whose they are (None: a person of their own).

    A model's scores of rows it learned from are further apart than of rows it did not: for scores, compare windows on
    the same side of its training."""

    people: Sequence[Hashable | None] | Groups
    scores: Mapping[str, Array] = field(default_factory=dict)
    labels: Mapping[str, Array] = field(default_factory=dict)
    features: Array | None = None


@dataclass(frozen=True)
class Shift:
    """How one distribution moved: `psi` less its expectation without change (never below 0), `critical`: the least that
    is more than chance at the asked level, `ks` distance in [0, 1], rows before and after, and whether it `drifted`."""

    name: str
    psi: float
    critical: float
    ks: float
    before: int
    after: int
    drifted: bool


@dataclass(frozen=True)
class RateChange:
    """Mean label before and after, their `difference` with its interval, people in either window, and whether 0 lies
    outside the interval."""

    name: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    people: int
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """Everything compared; `reasons` says in words what moved, and is empty when nothing did."""

    scores: tuple[Shift, ...]
    features: tuple[Shift, ...]
    rates: tuple[RateChange, ...]
    reasons: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        return bool(self.reasons)


def drift(
    reference: Window, current: Window, *, bins: int = 10, psi_level: float = MODERATE_PSI, confidence: float = 0.99
) -> Drift:
    """Compare two windows in every score, feature and label they both have.

    A distribution has drifted when PSI is above both `psi_level` and chance; a rate when its interval of `confidence`
    leaves out 0. Within scores, features and labels the chance of a false alarm is shared out (Bonferroni). Raises
    InvalidEvaluation for a confidence outside (0, 1), fewer than two bins, or features of differing width.
    """
    if not 0.0 < confidence < 1.0 or bins < 2:
        raise InvalidEvaluation(f"confidence {confidence}, bins {bins}: need (0, 1) and at least 2", field="confidence")
    names = [name for name in reference.scores if name in current.scores]
    labels = [name for name in reference.labels if name in current.labels]
    level = 1.0 - (1.0 - confidence) / max(len(names), 1)
    scores = tuple(
        shift(
            name, reference.scores[name], current.scores[name], reference.people, current.people, bins, psi_level, level
        )
        for name in names
    )
    features = _features(reference, current, bins, psi_level, confidence)
    level = 1.0 - (1.0 - confidence) / max(len(labels), 1)
    rates = tuple(
        rate_change(name, reference.labels[name], current.labels[name], reference.people, current.people, level)
        for name in labels
    )
    return Drift(scores, features, rates, _reasons(scores, features, rates))


def shift(
    name: str,
    before: Array,
    after: Array,
    people_before: Sequence[Hashable | None] | Groups,
    people_after: Sequence[Hashable | None] | Groups,
    bins: int = 10,
    psi_level: float = MODERATE_PSI,
    confidence: float = 0.99,
) -> Shift:
    """How `after` [M] differs from `before` [N]; values that are not finite are left out. With fewer than 50 rows on
    either side nothing is said to have drifted. Every bin counts half a row more than it has (Jeffreys), so that an
    empty one does not make PSI infinite."""
    old, old_rows = _finite(before, people_before)
    new, new_rows = _finite(after, people_after)
    if min(len(old), len(new)) < 2:
        return Shift(name, 0.0, float("inf"), 0.0, len(old), len(new), False)
    edges = np.unique(np.quantile(old, np.arange(1, bins) / bins))
    p, q = _shares(old, edges), _shares(new, edges)
    raw = float(((q - p) * np.log(q / p)).sum())
    chance = 1.0 / old_rows + 1.0 / new_rows
    freedom = len(p) - 1
    psi = max(0.0, raw - chance * freedom)
    critical = chance * (float(stats.chi2.ppf(confidence, freedom)) - freedom)
    enough = min(len(old), len(new)) >= _FEWEST_ROWS
    ks = float(stats.ks_2samp(old, new, method="asymp").statistic)
    return Shift(name, psi, critical, ks, len(old), len(new), enough and psi > max(psi_level, critical))


def rate_change(
    name: str,
    before: Array,
    after: Array,
    people_before: Sequence[Hashable | None] | Groups,
    people_after: Sequence[Hashable | None] | Groups,
    confidence: float = 0.99,
) -> RateChange:
    """Change of the mean label; NaN is a label missing. A person's share of the difference is
    u_c = (T_c - r B_c) / B after, less the same before (T_c, B_c: sum and count of the person's labels, r the rate);
    SE^2 = G / (G - 1) sum_c u_c^2, Student's t with G - 1 degrees of freedom."""
    seen = [*_names(people_before, "before"), *_names(people_after, "after")]
    index, count = cluster_index(seen)
    old, new = ~np.isnan(before), ~np.isnan(after)
    if not old.any() or not new.any():
        nan, endless = float("nan"), float("inf")
        return RateChange(name, nan, nan, nan, -endless, endless, 0, False)
    first, second = index[: len(before)][old], index[len(before) :][new]
    rate_old, rate_new = float(before[old].mean()), float(after[new].mean())
    shares = np.bincount(second, after[new] - rate_new, count) / new.sum()
    shares -= np.bincount(first, before[old] - rate_old, count) / old.sum()
    people = len(np.union1d(first, second))
    difference = rate_new - rate_old
    if people < 3:
        return RateChange(name, rate_old, rate_new, difference, float("-inf"), float("inf"), people, False)
    error = float(np.sqrt(people / (people - 1) * np.square(shares).sum()))
    half = float(stats.t.ppf(0.5 + confidence / 2.0, people - 1)) * error
    drifted = error > 0.0 and abs(difference) > half
    return RateChange(name, rate_old, rate_new, difference, difference - half, difference + half, people, drifted)


def _features(reference: Window, current: Window, bins: int, psi_level: float, confidence: float) -> tuple[Shift, ...]:
    before, after = reference.features, current.features
    if before is None or after is None:
        return ()
    if before.shape[1] != after.shape[1]:
        raise InvalidEvaluation(
            f"features are {before.shape[1]} wide before and {after.shape[1]} after; compare features of one backbone",
            field="features",
        )
    width = before.shape[1]
    level = 1.0 - (1.0 - confidence) / max(width, 1)
    return tuple(
        shift(f"feature {d}", before[:, d], after[:, d], reference.people, current.people, bins, psi_level, level)
        for d in range(width)
    )


def _finite(values: Array, people: Sequence[Hashable | None] | Groups) -> tuple[Array, float]:
    """The finite values, and how many independent rows they are worth."""
    kept = np.isfinite(values)
    if not kept.any():
        return values[kept], 1.0
    sizes = np.bincount(cluster_index(people)[0][kept])
    return values[kept], float(kept.sum() ** 2 / np.square(sizes).sum())


def _shares(values: Array, edges: Array) -> Array:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
    return np.asarray(counts / counts.sum())


def _names(people: Sequence[Hashable | None] | Groups, window: str) -> list[Hashable]:
    """Hashable names; nobody known is a person of that row alone."""
    return [(window, i) if name is None else ("person", name) for i, name in enumerate(list(people))]


def _reasons(scores: Sequence[Shift], features: Sequence[Shift], rates: Sequence[RateChange]) -> tuple[str, ...]:
    moved = [f"score {s.name}: PSI {s.psi:.2f} (chance at most {s.critical:.2f})" for s in scores if s.drifted]
    wide = [s for s in features if s.drifted]
    if wide:
        worst = max(wide, key=lambda s: s.psi)
        moved.append(f"{len(wide)} of {len(features)} features, {worst.name} most: PSI {worst.psi:.2f}")
    moved += [
        f"{r.name}: {r.before:.3f} to {r.after:.3f} (change {r.difference:+.3f}, {r.low:+.3f} to {r.high:+.3f})"
        for r in rates
        if r.drifted
    ]
    return tuple(moved)
