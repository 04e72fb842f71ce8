"""What people who were asked for a vote at random (`ingest.solicitation`) say about everybody."""

from dataclasses import dataclass

import numpy as np

from infra.statistics import Estimate, effective_sample_size, off_policy_interval, self_normalised_scores
from ingest.selection.rates import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SolicitedRate:
    """What those asked say about everybody: `rate` among those asked who voted, and [low, high] if those who were asked
    and kept silent all disliked, or all liked. `asked`: how many were; `answered`: the share of them who voted, by
    weight; and the effective number of votes."""

    rate: Estimate
    low: float
    high: float
    asked: int
    answered: float
    effective_sample_size: float


def solicited_rate(
    asked_with: FloatArray, voted: BoolArray, opinions: FloatArray, people: IntArray, *, confidence: float = 0.95
) -> SolicitedRate | None:
    """From the answers (n,) whose person was asked, each with its probability `asked_with` in (0, 1]; None without a
    vote. Hajek's estimator, weights 1 / probability (Hansen and Hurwitz, JASA 1946, asked the silent so)."""
    if not np.any(voted):
        return None
    weights = 1 / asked_with
    heard = np.where(voted, opinions, 0.0)
    rate = off_policy_interval(self_normalised_scores(heard, weights * voted), people, confidence=confidence)
    total = float(weights.sum())
    spoken = off_policy_interval(self_normalised_scores(heard, weights), people, confidence=confidence)
    at_most = off_policy_interval(
        self_normalised_scores(np.where(voted, opinions, 1.0), weights), people, confidence=confidence
    )
    return SolicitedRate(
        rate=rate,
        low=max(0.0, spoken.low),
        high=min(1.0, at_most.high),
        asked=int(voted.size),
        answered=float((weights * voted).sum()) / total,
        effective_sample_size=effective_sample_size(weights * voted),
    )
