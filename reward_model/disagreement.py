"""How a challenger ranks differently from the champion on the same answers. Pure numpy."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from reward_model.evaluation import (
    FEW_GROUPS,
    Groups,
    Interval,
    cluster_index,
    clustered_interval,
    group_sums,
    require_finite,
)

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Disagreement:
    """`rank_correlation`: Spearman's rho over N answers with its interval, None when either is constant or there are
    fewer than three. `flips`: share of pairs that the two order differently (a tie of one counts half), None without
    pairs. `most_changed`: the rows whose rank moved furthest, furthest first."""

    rank_correlation: Interval | None
    flips: Interval | None
    most_changed: tuple[int, ...]


def disagreement(
    challenger: Array,
    champion: Array,
    groups: Sequence[Hashable | None] | Groups,
    pairs: Ints,
    *,
    resamples: int = 500,
    seed: int = 0,
    most: int = 10,
) -> Disagreement:
    """Compare utilities [N] of N answers, and the order of pairs [M, 2] of them.

    `groups` [N] (prompts, conversations or people) are resampled whole for the intervals; a pair belongs to the group
    of its first answer. Neither scale matters. Raises InvalidEvaluation for values that are not finite.
    """
    require_finite(challenger=challenger, champion=champion, groups=np.zeros(len(groups)))
    index, _ = cluster_index(groups)
    moved = rankdata(challenger) - rankdata(champion)
    order = np.argsort(-np.abs(moved), kind="stable")[:most]
    return Disagreement(
        _rank_correlation(challenger, champion, index, resamples, seed),
        _flips(challenger, champion, index, pairs, resamples, seed),
        tuple(int(row) for row in order if moved[row] != 0.0),
    )


def _flips(challenger: Array, champion: Array, index: Ints, pairs: Ints, resamples: int, seed: int) -> Interval | None:
    if not len(pairs):
        return None
    one, two = pairs.T
    new, old = np.sign(challenger[one] - challenger[two]), np.sign(champion[one] - champion[two])
    flipped = np.abs(new - old) / 2.0
    return clustered_interval(flipped, index[one], np.ones(len(pairs)), resamples=resamples, seed=seed)


def _rank_correlation(challenger: Array, champion: Array, index: Ints, resamples: int, seed: int) -> Interval | None:
    """Pearson's r of the ranks; bootstrap over whole groups with the ranks held, infinite below ten groups."""
    if len(challenger) < 3 or np.ptp(challenger) == 0.0 or np.ptp(champion) == 0.0:
        return None
    a, b = rankdata(challenger), rankdata(champion)
    a, b = a - a.mean(), b - b.mean()
    count = int(index.max()) + 1
    columns = np.stack([group_sums(index, column, count) for column in (np.ones(len(a)), a, b, a * a, b * b, a * b)])
    estimate = float(_pearson(columns.sum(1)))
    if count < FEW_GROUPS:
        return Interval(estimate, -1.0, 1.0, len(a), count)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=resamples)
    found = _pearson(columns @ drawn.T.astype(np.float64))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(estimate, float(low), float(high), len(a), count)


def _pearson(sums: Array) -> Array:
    """r from the sums [6, ...] of 1, a, b, a^2, b^2, ab; NaN where either is constant."""
    n, a, b, aa, bb, ab = sums
    varied = (aa - a * a / n) * (bb - b * b / n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ab - a * b / n) / np.sqrt(np.where(varied > 1e-12, varied, np.nan)))
