"""What is held out: the newest answers, and never one whose conversation or prompt is also trained on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_GIANT = 0.4
"""A group holding more than this share of all answers can be neither held out nor trained on whole."""


@dataclass(frozen=True)
class Split:
    """Sides of N answers. groups [N]: equal where a conversation, a prompt or a pair is shared, directly or by chain.

    Answers of `left_out` stand between the sides (their conversation is on one, their prompt on the other) and are used
    on neither. `since` is the creation time of the oldest held-out answer; None when nothing is held out.
    """

    groups: Ints
    held_out: Bools
    left_out: Bools
    since: float | None

    @property
    def training(self) -> Bools:
        return np.asarray(~(self.held_out | self.left_out))


def link_groups(conversations: Sequence[str], prompts: Sequence[str], pairs: Ints) -> Ints:
    """Connected components [N] of answers linked by conversation, prompt or pair (union-find), numbered from 0."""
    parent = list(range(len(conversations)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for names in (conversations, prompts):
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            parent[root(i)] = root(first.setdefault(name, i))
    for a, b in pairs.tolist():
        parent[root(a)] = root(b)
    roots = np.array([root(i) for i in range(len(parent))], np.int64)
    return np.asarray(np.unique(roots, return_inverse=True)[1], np.int64).reshape(-1)


def hold_out_split(
    conversations: Sequence[str], prompts: Sequence[str], groups: Ints, times: NDArray[np.float64], fraction: float
) -> Split:
    """Hold out the newest groups until they make up `fraction` of the answers.

    A group's time is that of its newest answer. When every conversation asks new questions this is the newest share of
    all answers; where prompts come again and again it is as near as holding out by prompt allows. When chains of shared
    prompts tie most answers into one group, prompts are held out instead, and answers of conversations that stand on
    both sides are left out of the training side.
    """
    count = len(groups)
    if not count:
        return Split(groups, np.zeros(0, bool), np.zeros(0, bool), None)
    giant = np.bincount(groups).max() > _GIANT * count and len(set(prompts)) > 2
    units = np.asarray(np.unique(np.asarray(prompts), return_inverse=True)[1]).reshape(-1) if giant else groups
    held_out = _newest_units(units, times, fraction)
    left_out = np.zeros(count, bool)
    if giant:
        spoken = {name for name, held in zip(conversations, held_out.tolist(), strict=True) if held}
        left_out = np.array([name in spoken for name in conversations]) & ~held_out
        groups = np.asarray(units, np.int64)
    return Split(groups, held_out, left_out, float(times[held_out].min()) if held_out.any() else None)


def grouped_folds(groups: Ints, folds: int, seed: int) -> Ints:
    """A fold in [0, folds) for each row, whole groups together, folds of nearly equal size (largest group first)."""
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold_of = np.zeros(folds), np.zeros(len(names), np.int64)
    for unit in order:
        fold_of[unit] = int(np.argmin(load))
        load[fold_of[unit]] += sizes[unit]
    return np.asarray(fold_of[np.searchsorted(names, groups)])


def _newest_units(units: Ints, times: NDArray[np.float64], fraction: float) -> Bools:
    newest = np.full(int(units.max()) + 1, -np.inf)
    np.maximum.at(newest, units, times)
    sizes = np.bincount(units)
    target, held, chosen = fraction * len(units), 0, []
    for unit in np.argsort(-newest, kind="stable"):
        if held >= target:
            break
        # A group that would overshoot more than it helps is passed over, so that the training side keeps its data.
        if held + sizes[unit] <= 1.5 * target or (not held and sizes[unit] <= 0.5 * len(units)):
            chosen.append(unit)
            held += int(sizes[unit])
    return np.asarray(np.isin(units, chosen))
