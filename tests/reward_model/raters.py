"""Simulated raters for the tests of the noise model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_model.judgments import Judgments, gather

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Simulated:
    judgments: Judgments
    truth: Array
    lengths: Array
    rates: Array
    wrong: float


def simulate(
    rates: Array, pairs: int, each: int, *, seed: int = 0, pull: float = 0.0, sources: list[str] | None = None
) -> Simulated:
    """`each` of the raters on every pair; rates times 1 + pull tanh(1.5 x the length by which the wrong text leads)."""
    rng = np.random.default_rng(seed)
    truth, lengths = np.where(rng.random(pairs) < 0.5, 1.0, -1.0), rng.normal(size=pairs)
    pair = np.repeat(np.arange(pairs), each)
    rater = np.argsort(rng.random((pairs, len(rates))), 1)[:, :each].reshape(-1)
    chance = rates[rater] * (1.0 - pull * np.tanh(1.5 * lengths * truth)[pair])
    wrong = rng.random(len(pair)) < chance
    says = (np.where(wrong, -truth[pair], truth[pair]) + 1.0) / 2.0
    names = None if sources is None else [sources[k] for k in rater]
    judgments = gather(pair, says, people=[f"p{k}" for k in rater], sources=names)
    return Simulated(judgments, truth, lengths, rates, float(wrong.mean()))
