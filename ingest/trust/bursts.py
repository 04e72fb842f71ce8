"""Bursts: many votes of one kind on one answer at once, where those who vote at other times say otherwise.

Given that anybody voted on an item in a slot of time, how many others did follows a negative binomial whose mean grows
with the item's popularity at other times, mu_i = rate (n_i - c + 1), fitted robustly to all slots. A slot beyond it is
a rush; most rushes are news. One-sided is a rush that disagrees with the item's votes outside it (Fisher's exact test).
Two grids of slots, shifted by half a slot, so that no rush falls between two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import Evidence, Floats, Ints

TRIMMED = 0.01
"""Share of the fullest slots left out when the expectation is fitted: an attack must not explain itself."""
FEWEST = 8
"""A rush has at least so many votes."""
OTHER_OPINION = 1e-4
"""p-value at which the votes inside and outside a rush differ."""


@dataclass(frozen=True)
class Bursts:
    """`inside` (n,): which votes belong to a one-sided rush; `count`: how many rushes were one-sided."""

    inside: NDArray[np.bool_]
    count: int

    def share(self, evidence: Evidence) -> Floats:
        """(people,) share of each person's votes that lie in one-sided rushes."""
        votes = np.bincount(evidence.person, minlength=evidence.people)
        held = np.bincount(evidence.person[self.inside], minlength=evidence.people)
        return np.asarray(held / np.maximum(votes, 1))


def slots_of(at: Floats, item: Ints, seconds: float, shift: float = 0.0) -> Ints:
    """(n,) number of the (item, slot of time) each vote lies in, from 0 without gaps."""
    if not len(at):
        return np.zeros(0, np.int64)
    slot = np.floor((at - at.min()) / seconds + shift).astype(np.int64)
    return np.asarray(np.unique(item * (slot.max() + 1) + slot, return_inverse=True)[1], np.int64)


def find_bursts(evidence: Evidence, seconds: float, level: float) -> Bursts:
    """One-sided rushes within slots of `seconds`, with probability at most `level` of any that is chance alone."""
    inside = np.zeros(len(evidence.person), bool)
    count = 0
    for shift in (0.0, 0.5):
        bins = slots_of(evidence.at, evidence.item, seconds, shift)
        for rows in _rushes(evidence, bins, level / 2.0):
            if not inside[rows].all() and _one_sided(evidence, rows):
                count += 1
                inside[rows] = True
    return Bursts(inside, count)


def _rushes(evidence: Evidence, bins: Ints, level: float) -> list[Ints]:
    """Rows of every slot that holds more votes than the negative binomial allows."""
    from scipy.stats import nbinom

    if not len(bins):
        return []
    size = np.bincount(bins)
    first = np.unique(bins, return_index=True)[1]
    elsewhere = np.bincount(evidence.item, minlength=evidence.items)[evidence.item[first]] - size + 1.0
    others = size - 1.0
    usual = others <= np.quantile(others, 1.0 - TRIMMED)
    rate = (others[usual].sum() + 1.0) / (elsewhere[usual].sum() + len(bins) / len(size))
    mean = rate * elsewhere
    # Method of moments for the dispersion k of variance mean + k mean^2.
    excess = ((others[usual] - mean[usual]) ** 2 - mean[usual]).sum() / (mean[usual] ** 2).sum()
    k = float(np.clip(excess, 0.05, 10.0))
    beyond = nbinom.sf(others - 1.0, 1.0 / k, 1.0 / (1.0 + k * mean))
    found = np.flatnonzero((beyond <= level / len(size)) & (size >= FEWEST))
    return [np.flatnonzero(bins == b) for b in found]


def _one_sided(evidence: Evidence, rows: Ints) -> bool:
    from scipy.stats import fisher_exact

    same = np.flatnonzero(evidence.item == evidence.item[rows[0]])
    outside = np.setdiff1d(same, rows)
    yes = evidence.value >= 0.5
    table = [[int(yes[part].sum()), int((~yes[part]).sum())] for part in (rows, outside)]
    return bool(fisher_exact(table).pvalue < OTHER_OPINION)
