"""Is the challenger better than the champion? A paired test on rows neither has seen, clustered by person. Pure.

With d_i = challenger's loss - champion's loss of row i, weights v_i and people c:

    theta = sum_i v_i d_i / sum_i v_i
    SE^2 = G / (G - 1) sum_c u_c^2 / (sum_i v_i)^2,      u_c = sum_{i in c} v_i (d_i - theta)

The interval is a studentised bootstrap over whole people (bootstrap-t: Efron 1981; Cameron, Gelbach and Miller 2008),
which holds its level where few people or skewed differences make the percentile bootstrap too narrow.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from reward_model.evaluation import Groups, InvalidEvaluation, cluster_index, group_sums, require_finite

Array = NDArray[np.float64]

_BLOCK = 200
"""Resamples drawn at a time: bounds memory at this many rows of one number a person."""


class Verdict(StrEnum):
    """What a comparison allows to be said. Only BETTER replaces a champion."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    TOO_FEW_PEOPLE = "too_few_people"


@dataclass(frozen=True)
class Comparison:
    """`difference` = challenger - champion in weighted mean loss (below 0: the challenger is better), its interval
    [low, high], each one's mean loss, how many rows of how many `people`, as how many equal people they count, the
    verdict and the reason in words."""

    difference: float
    low: float
    high: float
    challenger: float
    champion: float
    rows: int
    people: int
    effective_people: float
    verdict: Verdict
    reason: str

    @property
    def better(self) -> bool:
        return self.verdict is Verdict.BETTER


def clustered_comparison(
    challenger_loss: Array,
    champion_loss: Array,
    people: Sequence[Hashable | None] | Groups,
    *,
    weights: Array | None = None,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
    fewest_people: int = 30,
) -> Comparison:
    """Compare losses [N] of the same N rows; people [N] says whose rows they are (None: a person of their own).

    The challenger is better when the interval of two-sided `confidence` lies below 0, worse when it lies above.
    `effective_people` = (sum_c V_c)^2 / sum_c V_c^2, V_c a person's weight: below `fewest_people` nothing is decided,
    whatever the numbers say. Losses: `evaluation.log_losses`, `pair_log_losses`, or 1 - `wins`. Raises
    InvalidEvaluation for a value that is not finite, a negative weight, or a confidence outside (0, 1).
    """
    v = np.ones(len(challenger_loss)) if weights is None else weights
    require_finite(
        challenger_loss=challenger_loss, champion_loss=champion_loss, weights=v, people=np.zeros(len(people))
    )
    if (v < 0).any():
        raise InvalidEvaluation(f"weights: row {int(np.argmax(v < 0))} is negative", field="weights")
    if not 0.0 < confidence < 1.0:
        raise InvalidEvaluation(f"confidence is {confidence}; it must be in (0, 1)", field="confidence")
    if not v.sum() > 0.0:
        return _nothing(len(v))
    index, count = cluster_index(people)
    top, bottom = group_sums(index, v * (challenger_loss - champion_loss), count), group_sums(index, v, count)
    top, bottom = top[bottom > 0], bottom[bottom > 0]
    difference, error = _estimate(top, bottom)
    low, high = _bootstrap_t(top, bottom, difference, error, resamples, seed, confidence)
    effective = float(bottom.sum() ** 2 / np.square(bottom).sum())
    verdict, reason = _judge(difference, low, high, effective, fewest_people, confidence)
    return Comparison(
        difference,
        low,
        high,
        float(np.average(challenger_loss, weights=v)),
        float(np.average(champion_loss, weights=v)),
        len(v),
        len(top),
        effective,
        verdict,
        reason,
    )


def replacement(comparisons: Mapping[str, Comparison]) -> tuple[bool, str]:
    """Whether these comparisons, by name (a head, a metric), replace the champion, and why: at least one is better and
    none is worse. Give each the confidence 1 - 0.05 / K when there are K, or one of many will be better by chance."""
    worse = [f"{name}: {found.reason}" for name, found in comparisons.items() if found.verdict is Verdict.WORSE]
    better = [f"{name}: {found.reason}" for name, found in comparisons.items() if found.better]
    if worse:
        return False, "the champion is kept; " + "; ".join(worse)
    if better:
        return True, "the challenger replaces it; " + "; ".join(better)
    if not comparisons:
        return False, "the champion is kept; nothing was held out to compare on"
    return False, "the champion is kept; " + "; ".join(f"{name}: {found.reason}" for name, found in comparisons.items())


def _estimate(top: Array, bottom: Array) -> tuple[float, float]:
    """theta and its cluster-robust standard error; infinite for one person."""
    total, count = bottom.sum(), len(top)
    theta = float(top.sum() / total)
    if count < 2:
        return theta, float("inf")
    spread = np.square(top - theta * bottom).sum()
    return theta, float(np.sqrt(count / (count - 1) * spread) / total)


def _bootstrap_t(
    top: Array, bottom: Array, theta: float, error: float, resamples: int, seed: int, confidence: float
) -> tuple[float, float]:
    count = len(top)
    if not np.isfinite(error):
        return float("-inf"), float("inf")
    if error <= 1e-12 * max(abs(theta), 1e-12):  # every person differs by the same amount
        return theta, theta
    rng, found = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=min(_BLOCK, resamples - start)).astype(
            np.float64
        )
        total = drawn @ bottom
        means = (drawn @ top) / total
        spread = drawn @ top**2 - 2.0 * means * (drawn @ (top * bottom)) + means**2 * (drawn @ bottom**2)
        errors = np.sqrt(count / (count - 1) * np.maximum(spread, 0.0)) / total
        usable = errors > 1e-6 * error
        found.append((means[usable] - theta) / errors[usable])
    studentised = np.concatenate(found) if found else np.zeros(0)
    if not len(studentised):
        return float("-inf"), float("inf")
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.quantile(studentised, [tail, 1.0 - tail])
    return theta - float(upper) * error, theta - float(lower) * error


def _judge(
    difference: float, low: float, high: float, effective: float, fewest: int, confidence: float
) -> tuple[Verdict, str]:
    span = f"{difference:+.4f} ({confidence:.3g} interval {low:+.4f} to {high:+.4f}, below 0 is better)"
    if effective < fewest:
        return Verdict.TOO_FEW_PEOPLE, f"{effective:.0f} people's worth of held-out rows, {fewest} needed; {span}"
    if difference == low == high == 0.0:
        return Verdict.UNDECIDED, "the two answer alike on every held-out row"
    if high < 0.0:
        return Verdict.BETTER, f"the challenger's loss is lower, {span}"
    if low > 0.0:
        return Verdict.WORSE, f"the challenger's loss is higher, {span}"
    return Verdict.UNDECIDED, f"no difference is shown, {span}"


def _nothing(rows: int) -> Comparison:
    nan = float("nan")
    reason = "no held-out row carries weight"
    return Comparison(nan, float("-inf"), float("inf"), nan, nan, rows, 0, 0.0, Verdict.TOO_FEW_PEOPLE, reason)
