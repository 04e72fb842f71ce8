"""Best-of-n: what choosing the best of n answers by one scorer does to the truth, or to another scorer. Pure numpy.

Of K scored answers to a prompt, sorted by descending score, the i-th is the best of a random subset of size n with
probability C(K - i, n - 1) / C(K, n). Averaging the truth with these weights is the mean over *all* subsets: unbiased
for best-of-n of fresh answers, and far steadier than one drawn subset (a U-statistic; Nakano et al., 2112.09332).
Rising scores with falling truth show a scorer that is being exploited (Gao et al., 2210.10760).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from reward_model.evaluation import Groups, InvalidEvaluation, cluster_index, clustered_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Best of `n`: the mean truth of the chosen answers with its 95 % interval over prompts (or people), and `kl`, how
    far best-of-n has gone from the policy that answered, in nats: at most log n - (n - 1) / n."""

    n: int
    mean: float
    low: float
    high: float
    kl: float


@dataclass(frozen=True)
class BestOfN:
    """The curve by the scorer, the `ceiling` of choosing by the truth itself, how many prompts it rests on and how many
    were left out for having fewer answers than the largest n."""

    points: tuple[Point, ...]
    ceiling: tuple[Point, ...]
    prompts: int
    left_out: int

    @property
    def best_n(self) -> int | None:
        """The n of the highest mean truth; None without points."""
        return max(self.points, key=lambda point: point.mean).n if self.points else None

    @property
    def won(self) -> float | None:
        """Share of the ceiling's gain, first n to last, that the scorer wins; None where there is none to win."""
        if not self.points or self.ceiling[-1].mean <= self.ceiling[0].mean:
            return None
        return (self.points[-1].mean - self.points[0].mean) / (self.ceiling[-1].mean - self.ceiling[0].mean)


def curve(
    scores: Array,
    truth: Array,
    ns: Sequence[int],
    *,
    groups: Sequence[Hashable | None] | Groups | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> BestOfN:
    """The curve from scores and truth [P, K] of K answers to each of P prompts; NaN in both where there are fewer.

    `truth` is a held-out label, another model's score, or a simulated person's; `groups` [P] are resampled whole
    (default: every prompt by itself). All points rest on the same prompts: those with at least max(ns) answers.
    Raises InvalidEvaluation for differing shapes, a value present in one only, or n below 1.
    """
    _require(scores, truth, ns)
    enough = (~np.isnan(scores)).sum(1) >= max(ns)
    left_out = int((~enough).sum())
    if not enough.any():
        return BestOfN((), (), 0, left_out)
    units = np.arange(len(scores)) if groups is None else cluster_index(groups)[0]
    kept_scores, kept_truth, kept = scores[enough], truth[enough], units[enough]
    chosen = _points(kept_scores, kept_truth, ns, kept, resamples, seed)
    ceiling = _points(kept_truth, kept_truth, ns, kept, resamples, seed)
    return BestOfN(chosen, ceiling, int(enough.sum()), left_out)


def expected_best(scores: Array, truth: Array, n: int) -> float:
    """Mean over all subsets of size n of the truth of the answer scored highest; scores and truth [K], 1 <= n <= K.

    Answers of equal score are chosen at random, so each counts with the mean truth of those it ties with.
    """
    order = np.argsort(-scores, kind="stable")
    _, tied = np.unique(-scores[order], return_inverse=True)
    means = np.bincount(tied, truth[order]) / np.bincount(tied)
    return float(_chances(len(scores), n) @ means[tied])


def _chances(count: int, n: int) -> Array:
    """[K]: the chance C(K - i, n - 1) / C(K, n) that the i-th best of K is the best of a subset of n."""
    below = np.arange(count - 1, -1, -1, dtype=np.float64)
    possible = below >= n - 1
    logs = _log_choose(np.where(possible, below, n - 1.0), n - 1) - _log_choose(np.float64(count), n)
    return np.asarray(np.where(possible, np.exp(logs), 0.0))


def _log_choose(a: Array | np.float64, b: int) -> Array:
    return np.asarray(gammaln(a + 1.0) - gammaln(b + 1.0) - gammaln(a - b + 1.0))


def _points(
    scores: Array, truth: Array, ns: Sequence[int], units: Groups, resamples: int, seed: int
) -> tuple[Point, ...]:
    found = []
    for n in ns:
        values = np.array(
            [
                expected_best(row[~np.isnan(row)], true[~np.isnan(row)], n)
                for row, true in zip(scores, truth, strict=True)
            ]
        )
        interval = clustered_interval(values, units, np.ones(len(values)), resamples=resamples, seed=seed)
        found.append(Point(n, interval.estimate, interval.low, interval.high, float(np.log(n) - (n - 1) / n)))
    return tuple(found)


def _require(scores: Array, truth: Array, ns: Sequence[int]) -> None:
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise InvalidEvaluation(
            f"scores have shape {scores.shape}, truth {truth.shape}; both must be [prompts, answers]", field="truth"
        )
    if not ns or min(ns) < 1:
        raise InvalidEvaluation(f"ns is {list(ns)}; give one or more sizes of at least 1", field="ns")
    wrong = (np.isnan(scores) != np.isnan(truth)).any(1) | np.isinf(scores).any(1) | np.isinf(truth).any(1)
    if wrong.any():
        raise InvalidEvaluation(
            f"prompt {int(np.argmax(wrong))} has an infinite value, or a score without its truth; give both or neither",
            field="truth",
        )
