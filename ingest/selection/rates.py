"""The rate at which people like answers, from those who say so: raw, and corrected for who speaks.

R = 1 where the person voted, y the opinion in [0, 1] (known where R = 1), p = P(vote | x), q = E[y | vote, x]. Wanted
is E[y] over everybody who was shown an answer. The corrections are right where silence depends on x alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.statistics import (
    Estimate,
    clustered_mean,
    doubly_robust_scores,
    effective_sample_size,
    inverse_propensity_scores,
    off_policy_interval,
    self_normalised_scores,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """Answers that were shown, one entry each: `voted`, `opinions` in [0, 1] (whatever it is where nobody voted counts
    for nothing), `propensity` in (0, 1], `predicted` opinions in [0, 1], and `people`, numbered, as clusters."""

    voted: BoolArray
    opinions: FloatArray
    propensity: FloatArray
    predicted: FloatArray
    people: IntArray

    @property
    def heard(self) -> FloatArray:
        """Opinions of those who voted, 0 elsewhere."""
        return np.where(self.voted, self.opinions, 0.0)

    def weights(self, clip: float) -> FloatArray:
        """R / p, clipped where it exceeds `clip` times the average vote's 1 / P(vote)."""
        rate = float(self.voted.mean())
        largest = clip / rate if rate > 0 else np.inf
        return np.asarray(np.where(self.voted, np.minimum(1 / self.propensity, largest), 0.0))


@dataclass(frozen=True)
class Rates:
    """Raw and corrected rates with intervals clustered by person; `clipped`: share of votes whose weight was cut."""

    likes_per_shown: Estimate
    among_voters: Estimate
    inverse_propensity: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate
    effective_sample_size: float
    clipped: float


def rates(sample: Sample, *, clip: float, confidence: float = 0.95) -> Rates:
    """All estimates of `sample`, which holds at least one vote."""
    weights = sample.weights(clip)
    unclipped = sample.weights(np.inf)

    def interval(scores: FloatArray) -> Estimate:
        return off_policy_interval(scores, sample.people, confidence=confidence)

    return Rates(
        likes_per_shown=interval(sample.heard),
        among_voters=clustered_mean(sample.opinions[sample.voted], sample.people[sample.voted], confidence=confidence),
        inverse_propensity=interval(inverse_propensity_scores(sample.heard, weights)),
        self_normalised=interval(self_normalised_scores(sample.heard, weights)),
        doubly_robust=interval(doubly_robust_scores(sample.heard, weights, sample.predicted, sample.predicted)),
        effective_sample_size=effective_sample_size(weights),
        clipped=float(np.mean((weights < unclipped)[sample.voted])),
    )
