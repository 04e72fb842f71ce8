"""Individual people: hidden tastes, mood, readiness to vote, patience, reading speed.

A person's satisfaction with an answer is u = mood + tastes . attributes - 7 (1 - relevance): an answer that does not
answer is disliked whatever its charms. P(like | shown) = candour * sigmoid(u): most answers get silence.

The constants are set on answers of the base model, where about 15 % of answers are liked, 20 % disliked and the rest
meet silence; how they came about stands in docs/decisions/0009-simulated-people.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.people.attributes import ATTRIBUTES

MEAN_TASTE = np.array([2.4, 2.2, 2.0, 1.2])
TASTE_SPREAD = 0.5
MEAN_MOOD = -3.8
MOOD_SPREAD = 0.5
IRRELEVANCE_COST = 7.0
DISLIKE_OFFSET = 1.5
DISLIKE_READINESS = 0.6


@dataclass(frozen=True)
class Person:
    """One simulated person. `tastes` (4,) weigh `ATTRIBUTES`; `candour` in [0, 1] is how readily a feeling becomes a
    vote; `error_rate` is the share of votes that go to the wrong button; `words_per_second` the reading speed;
    `patience_seconds` how long the person waits for an answer before looking away."""

    name: str
    tastes: NDArray[np.float64]
    mood: float
    candour: float
    error_rate: float
    words_per_second: float
    patience_seconds: float

    def satisfaction(self, attributes: NDArray[np.float64], relevance: NDArray[np.float64]) -> NDArray[np.float64]:
        """u of answers with `attributes` (n, 4) and `relevance` (n,) in [0, 1]: (n,), real."""
        value: NDArray[np.float64] = self.mood + attributes @ self.tastes - IRRELEVANCE_COST * (1 - relevance)
        return value

    def like_probability(self, satisfaction: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(the like button is pressed | shown), slips of the finger left out: (n,)."""
        return np.asarray(self.candour / (1 + np.exp(-satisfaction)))

    def dislike_probability(self, satisfaction: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(the dislike button is pressed | shown), slips left out: (n,)."""
        return np.asarray(DISLIKE_READINESS * self.candour / (1 + np.exp(satisfaction + DISLIKE_OFFSET)))


def person(seed: int, index: int, *, error_rate: float = 0.05) -> Person:
    """The `index`-th person of the crowd `seed`: always the same one."""
    draw = np.random.default_rng([seed, index])
    return Person(
        name=f"person-{seed}-{index}",
        tastes=MEAN_TASTE + draw.normal(0, TASTE_SPREAD, len(ATTRIBUTES)),
        mood=MEAN_MOOD + float(draw.normal(0, MOOD_SPREAD)),
        candour=float(draw.beta(4, 3)),
        error_rate=error_rate,
        words_per_second=float(draw.lognormal(np.log(4.0), 0.2)),
        patience_seconds=float(draw.lognormal(np.log(60.0), 0.3)),
    )
