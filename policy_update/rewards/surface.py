"""Rewards that read the surface of an answer: how often it repeats itself, how long it is."""

import numpy as np

from policy_update.rewards.batch import AnswerBatch, FloatArray, InvalidReward, Reward, each


def repeated_share(words: list[str], n: int) -> float:
    """Share of n-grams that occurred before in the same text, in [0, 1]; 0 where there is none."""
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def repetition(n: int = 3) -> Reward:
    """Minus the share of repeated word n-grams, in [-1, 0]. Raises InvalidReward for n < 1."""
    if n < 1:
        raise InvalidReward(f"repetition: n is {n}, it must be at least 1", field="n")
    return lambda batch: each(batch, lambda row: -repeated_share(batch.texts[row].lower().split(), n))


def length(target: int = 0, budget: int = 0, slope: float = 0.0) -> Reward:
    """Length in tokens, in [-1, 0]; exactly one of `target` and `budget` is given.

    Target (L1-Exact, arXiv 2503.04697): -min(1, slope |n - target|). Budget (one-sided): 0 up to the budget,
    then -min(1, slope (n - budget)). `slope` is 1 / target or 1 / budget unless given: the whole length off costs 1.
    An answer that the token limit cut is at least as long as it looks: it is scored by what is there. Raises
    InvalidReward.
    """
    if (target > 0) == (budget > 0):
        raise InvalidReward(
            f"length: target is {target} and budget is {budget}; give one of them, in tokens, above 0", field="target"
        )
    wanted = float(target or budget)
    steep = slope or 1.0 / wanted
    if not steep > 0:
        raise InvalidReward(f"length: slope is {slope}, it must be above 0", field="slope")

    def score(batch: AnswerBatch) -> FloatArray:
        over = batch.tokens.astype(np.float64) - wanted
        off: FloatArray = np.abs(over) if target else np.maximum(over, 0.0)
        return -np.minimum(1.0, steep * off)

    return score
