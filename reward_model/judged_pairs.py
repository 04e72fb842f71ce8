"""Judgments with the features of what they compare, and the rows that losses are fitted on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.judgments import InvalidJudgments, Judgments, gather, relative_weights, same_differences
from reward_model.losses import NoiseParameters
from reward_model.rater_noise import RaterFit

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEAST, _MOST = 1e-9, 0.4999
"""Flip rates given to a loss: above 0 for its logarithm, below 1/2, where a pair says nothing."""


@dataclass(frozen=True)
class Ordered:
    """P rows of one side against the other: differences [P, R] favoured - other, weights [P] >= 0, groups [P], times
    [P], rates [P] the chance that the favoured side is the wrong one; pair [P] and direction [P] (1: the pair's first
    text is the favoured one) say which pair a row is of."""

    differences: Tensor
    weights: Array
    groups: Ints
    times: Array
    rates: Array
    pair: Ints
    direction: Array

    def of(self, rows: Bools) -> "Ordered":
        """The rows marked in `rows` [P]."""
        return Ordered(
            self.differences[torch.from_numpy(rows)],
            self.weights[rows],
            self.groups[rows],
            self.times[rows],
            self.rates[rows],
            self.pair[rows],
            self.direction[rows],
        )

    def reweighted(self, factors: Array) -> "Ordered":
        """The same rows, each weight times its factor [P]."""
        return replace(self, weights=self.weights * factors)

    def noise(self, threshold: float) -> NoiseParameters:
        """What a loss is told: one flip rate a row."""
        return NoiseParameters(torch.from_numpy(np.clip(self.rates, _LEAST, _MOST)), threshold)

    def by_pair(self, margins: Array, pairs: int) -> Array:
        """Margins [U] of the pairs' first texts, out of margins [P] of the rows."""
        found = np.zeros(pairs)
        found[self.pair] = self.direction * margins
        return found


@dataclass(frozen=True)
class JudgedPairs:
    """U pairs: differences [U, R] first - second, weights [U] (of a pair's weightiest judgment), groups [U], times [U],
    lengths [U] or None; their `judgments` (weights relative to the pair's) and `record_weights` [M] as given."""

    differences: Tensor
    weights: Array
    groups: Ints
    times: Array
    lengths: Array | None
    judgments: Judgments
    record_weights: Array

    def both_orders(self, *, by_head: bool = False) -> Ordered:
        """What plain Bradley-Terry sees, independent votes: each order of a pair with the weight of its records; with
        `by_head` the records of one judge weigh 1 together."""
        says, pair, pairs = self.judgments.says, self.judgments.pair, self.judgments.pairs
        weights, judge = self.record_weights, self.judgments.judge
        if by_head:
            weights = weights / np.bincount(judge, weights, self.judgments.judges)[judge]
        ahead = np.bincount(pair, weights * says, pairs)
        behind = np.bincount(pair, weights * (1.0 - says), pairs)
        first, second = np.flatnonzero(ahead > 0.0), np.flatnonzero(behind > 0.0)
        rows = np.concatenate([first, second])
        direction = np.concatenate([np.ones(len(first)), -np.ones(len(second))])
        return self._rows(rows, direction, np.concatenate([ahead[first], behind[second]]), np.zeros(len(rows)))

    def mixed(self, flip_rate: float) -> Ordered:
        """One rate for all, pairs judged once: the first text is truly better with y (1 - e) + (1 - y) e."""
        says = np.zeros(self.judgments.pairs)
        says[self.judgments.pair] = self.judgments.says
        first = says * (1.0 - flip_rate) + (1.0 - says) * flip_rate
        direction = np.where(first < 0.5, -1.0, 1.0)
        return self._rows(np.arange(len(first)), direction, self.weights, np.minimum(first, 1.0 - first))

    def favoured(self, raters: RaterFit) -> Ordered:
        """The side that all records of a pair together favour, and the chance that it is the wrong one."""
        return self._rows(np.arange(len(self.weights)), raters.direction, self.weights, raters.pair_flip_rate)

    def _rows(self, rows: Ints, direction: Array, weights: Array, rates: Array) -> Ordered:
        signs = torch.from_numpy(direction)[:, None]
        return Ordered(
            self.differences[torch.from_numpy(rows)] * signs,
            weights,
            self.groups[rows],
            self.times[rows],
            rates,
            rows,
            direction,
        )


def judged_pairs(
    differences: Tensor,
    weights: Array,
    groups: Ints,
    times: Array,
    *,
    people: Sequence[str | None] | None = None,
    sources: Sequence[str] | None = None,
    soft: Array | None = None,
    pairs: tuple[Ints, Ints] | None = None,
    lengths: Array | None = None,
) -> JudgedPairs:
    """Bring M judgments together: see `utility_head.fit_utility_head` for the arguments. Raises InvalidJudgments.

    A pair takes the features, group and lengths of its first judgment, and the newest of its times.
    """
    count = len(weights)
    pair, direction = same_differences(differences.numpy()) if pairs is None else pairs
    for name, column in (("differences", differences), ("pairs", pair), ("groups", groups), ("times", times)):
        if len(column) != count:
            raise InvalidJudgments(f"{name} has {len(column)} rows, weights have {count}", field=name)
    names, first, pair = np.unique(pair, return_index=True, return_inverse=True)
    # The first judgment of a pair gives its order: an unrepeated pair stands as it was recorded.
    direction = direction * direction[first][pair]
    certainty = np.ones(count) if soft is None else soft
    heaviest, relative = relative_weights(pair, weights)
    judgments = gather(
        pair, np.where(direction > 0, certainty, 1.0 - certainty), people=people, sources=sources, weight=relative
    )
    newest = np.full(len(names), -np.inf)
    np.maximum.at(newest, pair, times)
    return JudgedPairs(
        differences[torch.from_numpy(first)],
        heaviest,
        groups[first],
        newest,
        None if lengths is None else lengths[first],
        judgments,
        weights,
    )
