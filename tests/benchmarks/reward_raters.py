"""Simulated raters: who judges which pair, and how they err. What is true is the data set's recorded preference."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_model.judgments import Judgments, gather
from tests.benchmarks.reward_pairs import RealPairs

Array = NDArray[np.float64]

RATERS, EACH = 60, 3
KINDS = ("random", "person", "length", "coordinated")
HONEST = 0.05
"""Errors of the honest, where accounts act together."""


@dataclass(frozen=True)
class Rated:
    """The records, what nobody is told (for each record the chance that it errs had the first text been better, and
    had the second), the share that is wrong, and which raters act together."""

    judgments: Judgments
    wrong_if_first: Array
    wrong_if_second: Array
    realised: float
    coordinated: frozenset[str]


def rate(pairs: RealPairs, kind: str, level: float, seed: int) -> Rated:
    """Every pair judged by EACH of RATERS raters, whose records are wrong with mean probability `level`.

    random: all alike. person: rates uniform in [0, 2 level]. length: level (1 + .9 tanh(1.5 d / rms d)) where the
    wrong text is longer by d in logarithms, level (1 - ...) where it is shorter. coordinated: some accounts always vote
    against the truth, the others err with HONEST.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), round(1000 * level)])
    count = len(pairs.truth)
    pair = np.repeat(np.arange(count), EACH)
    rater = np.argsort(rng.random((count, RATERS)), 1)[:, :EACH].reshape(-1)
    first, second, together = _chances(pairs, kind, level, rater, pair, rng)
    truth = pairs.truth[pair]
    wrong = rng.random(len(pair)) < np.where(truth > 0, first, second)
    says = (np.where(wrong, -truth, truth) + 1.0) / 2.0
    judgments = gather(pair, says, people=[f"r{k}" for k in rater])
    return Rated(judgments, first, second, float(wrong.mean()), together)


def _chances(
    pairs: RealPairs,
    kind: str,
    level: float,
    rater: NDArray[np.int64],
    pair: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[Array, Array, frozenset[str]]:
    flat = np.full(len(pair), level)
    if kind == "random" or level == 0.0:
        return flat, flat, frozenset()
    if kind == "length":
        pull = np.tanh(1.5 * pairs.lengths / np.sqrt(np.mean(pairs.lengths**2)))[pair]
        return level * (1.0 - 0.9 * pull), level * (1.0 + 0.9 * pull), frozenset()
    if kind == "person":
        rates = rng.uniform(0.0, 2.0 * level, RATERS)
        return rates[rater], rates[rater], frozenset()
    liars = rng.permutation(RATERS)[: round(RATERS * (level - HONEST) / (1.0 - HONEST))]
    rates = np.where(np.isin(np.arange(RATERS), liars), 1.0, HONEST)
    return rates[rater], rates[rater], frozenset(f"r{k}" for k in liars)
