"""How reliable each person's records are, and how well that tells liars from people. Pure numpy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from reward_model.judgments import Judgments
from reward_model.rater_noise import RaterFit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PersonReliability:
    """`reliability` = 1 - error rate of one person: posterior mean in [0, 1], 95 % credible interval [low, high], out
    of `judgments` records. 1/2 is a coin; below it the person says the contrary of what is true, and is read so."""

    person: str
    judgments: int
    reliability: float
    low: float
    high: float


def per_person(judgments: Judgments, raters: RaterFit) -> tuple[PersonReliability, ...]:
    """Every named person, least reliable first. Who judges through several sources has their mean by records."""
    counts = np.bincount(judgments.judge, minlength=judgments.judges)
    found: dict[str, list[int]] = {}
    for k, name in enumerate(judgments.people):
        if name is not None and counts[k]:
            found.setdefault(name, []).append(k)
    made = [_one(name, np.array(rows), counts, raters) for name, rows in found.items()]
    return tuple(sorted(made, key=lambda one: (one.reliability, one.person)))


def separation(people: Sequence[PersonReliability], suspects: Sequence[str]) -> float:
    """AUROC with which low reliability singles out `suspects` (names): 1 where every suspect is below everybody else,
    1/2 where reliability says nothing. Raises ValueError unless there are both suspects and others."""
    marked = np.isin([one.person for one in people], list(suspects))
    if not 0 < int(marked.sum()) < len(marked):
        raise ValueError(f"{int(marked.sum())} of {len(marked)} people are suspects; some and not all are needed")
    return float(roc_auc_score(marked, [-one.reliability for one in people]))


def _one(name: str, judges: NDArray[np.int64], counts: NDArray[np.int64], raters: RaterFit) -> PersonReliability:
    share = counts[judges] / counts[judges].sum()
    posterior = share @ raters.posterior[judges]
    order = np.cumsum(posterior)
    low, high = (float(raters.grid[min(int(np.searchsorted(order, q)), len(order) - 1)]) for q in (0.025, 0.975))
    return PersonReliability(
        name, int(counts[judges].sum()), float(1.0 - posterior @ raters.grid), 1.0 - high, 1.0 - low
    )
