"""Redundant signals: who likes an answer also tends to copy it, to rate it highly, to stay with it.

For each further signal s, P(s | opinion) among attentive people against P(s) whatever the opinion: a person whose
signals fit together is paying attention, of whatever taste.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import MISSING, Floats

PSEUDO = 5.0
"""Observations the independence of the signals is worth: without data, no signal says anything."""


@dataclass(frozen=True)
class Redundancy:
    """`given` (2, s): P(signal | dislike), P(signal | like) of attentive people; `alone` (s,): P(signal)."""

    given: Floats
    alone: Floats

    def likelihoods(self, value: Floats, also: NDArray[np.int8]) -> tuple[Floats, Floats]:
        """((n,), (n,)): likelihood of each row's further signals if they go with its opinion, and if they do not."""
        opinion = (value >= 0.5).astype(np.int64)
        told, untold = np.ones(len(value)), np.ones(len(value))
        for s in range(also.shape[1]):
            said, present = also[:, s] == 1, also[:, s] != MISSING
            given = self.given[opinion, s]
            told *= np.where(present, np.where(said, given, 1.0 - given), 1.0)
            untold *= np.where(present, np.where(said, self.alone[s], 1.0 - self.alone[s]), 1.0)
        return told, untold


def fit_redundancy(value: Floats, also: NDArray[np.int8], weight: Floats) -> Redundancy:
    """From rows weighted by `weight` (n,): the probability that they were attentive."""
    opinion = value >= 0.5
    signals = also.shape[1]
    given, alone = np.full((2, signals), 0.5), np.full(signals, 0.5)
    for s in range(signals):
        present, said = also[:, s] != MISSING, also[:, s] == 1
        count = present.sum()
        alone[s] = (said.sum() + 0.5) / (count + 1.0)
        for y, rows in enumerate((present & ~opinion, present & opinion)):
            mass = weight[rows].sum()
            given[y, s] = (weight[rows & said].sum() + PSEUDO * alone[s]) / (mass + PSEUDO)
    return Redundancy(given, alone)
