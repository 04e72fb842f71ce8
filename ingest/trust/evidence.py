"""What an estimate of trust is made of, as arrays: who said what about which answer, and when."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MISSING = -1
"""In `Evidence.also`: the person gave no such signal about the answer."""


@dataclass(frozen=True)
class Evidence:
    """Opinions of `people` about `items`, sorted by person, one row for each person and answer.

    An item is an answer, or a group of near-duplicate answers. `value` in [0, 1]: 1 like, 0 dislike, a rating's own
    value. `at`: Unix seconds. `features`: (items, d), standardised; d may be 0. `also`: (n, s), further signals of the
    same person about the same answer, 1 or 0, MISSING where there is none.

    Comparisons are duels: `chosen` was preferred over `rejected` by `judge`; `known`: they are honeypots, so `right`
    says whether the known better answer was chosen (NaN elsewhere). `actor`, `acted_at`: everything that counts for the
    cap, one row a person and answer; empty: the opinions alone.
    """

    people: int
    items: int
    person: Ints
    item: Ints
    value: Floats
    at: Floats
    features: Floats
    also: NDArray[np.int8]
    judge: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    chosen: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    rejected: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    right: Floats = field(default_factory=lambda: np.zeros(0))
    actor: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    acted_at: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if len(self.person) and (np.diff(self.person) < 0).any():
            raise ValueError("Evidence.person must be sorted; sort every column by person first")

    @property
    def counts(self) -> Ints:
        """(people,) number of opinions and comparisons of each person."""
        judged = np.bincount(self.judge, minlength=self.people)
        return np.bincount(self.person, minlength=self.people) + judged

    @property
    def acts(self) -> tuple[Ints, Floats]:
        """(acts,), (acts,): who did something that counts for the cap, and when."""
        return (self.actor, self.acted_at) if len(self.actor) else (self.person, self.at)

    @property
    def mean(self) -> float:
        """Mean opinion of all, held off 0 and 1."""
        return float(np.clip(self.value.mean(), 0.02, 0.98)) if len(self.value) else 0.5

    def of(self, chosen: NDArray[np.bool_]) -> "Evidence":
        """The rows of the people chosen (people,), numbering unchanged."""
        rows, duels = chosen[self.person], chosen[self.judge]
        return Evidence(
            self.people,
            self.items,
            self.person[rows],
            self.item[rows],
            self.value[rows],
            self.at[rows],
            self.features,
            self.also[rows],
            self.judge[duels],
            self.chosen[duels],
            self.rejected[duels],
            self.right[duels],
            self.actor,
            self.acted_at,
        )


def sums(groups: Ints, values: Floats, size: int) -> Floats:
    """Sums of `values` by group, (size,)."""
    return np.asarray(np.bincount(groups, weights=values, minlength=size), np.float64)
