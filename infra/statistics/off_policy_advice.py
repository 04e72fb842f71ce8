"""Advice before exposure: what a new policy would have earned on logged answers, or nothing where that is no evidence.

Never a pass and never a veto. Below an effective sample size of 100 everything is withheld: for whole answers of a
language model the share of it is about exp(-2 KL), so at 2 nats it takes 5,460 answers to get there.
"""

from dataclasses import dataclass

import numpy as np

from infra.statistics.off_policy import doubly_robust, effective_sample_size, inverse_propensity, self_normalised
from infra.statistics.off_policy_intervals import always_valid_doubly_robust, always_valid_interval
from infra.statistics.two_arm import FloatArray

LEAST_EFFECTIVE_SAMPLE_SIZE = 100.0


@dataclass(frozen=True)
class OffPolicyAdvice:
    """Means of rewards in [0, 1] with always-valid bounds; all None when withheld. `clipped` is the mean under clipped
    weights, a lower bound in expectation; `self_normalised` is a point without bounds (there are no always-valid
    ones); `doubly_robust` needs predictions, its bounds weights that never exceed the clip."""

    effective_sample_size: float
    answers: int
    withheld: str = ""
    clipped: float | None = None
    clipped_bounds: tuple[float, float] | None = None
    self_normalised: float | None = None
    doubly_robust: float | None = None
    doubly_robust_bounds: tuple[float, float] | None = None


def off_policy_advice(
    rewards: FloatArray,
    weights: FloatArray,
    predicted: tuple[FloatArray, FloatArray] | None = None,
    *,
    clip: float = 20.0,
    alpha: float = 0.05,
    least: float = LEAST_EFFECTIVE_SAMPLE_SIZE,
) -> OffPolicyAdvice:
    """Advice from rewards (n,) in [0, 1] and weights pi_new / pi_logged (n,) >= 0 in the order of time.

    `predicted`: the reward model's value of the logged answer, and its mean over fresh answers of the new policy, both
    (n,) in [0, 1]. Weights whose sum is far from n give a warning by `effective_sample_size` only.
    """
    size = effective_sample_size(weights)
    if not np.isfinite(size) or size < least:
        told = f"effective sample size {size:.0f} of {weights.size} answers is below {least:g}: no evidence either way"
        return OffPolicyAdvice(size, weights.size, told)
    robust, bounds = None, None
    if predicted is not None:
        robust = doubly_robust(rewards, weights, *predicted).value
        if float(weights.max()) <= clip:
            bounds = always_valid_doubly_robust(rewards, weights, *predicted, clip, alpha=alpha)
    return OffPolicyAdvice(
        effective_sample_size=size,
        answers=weights.size,
        clipped=inverse_propensity(rewards, weights, clip).value,
        clipped_bounds=always_valid_interval(rewards, np.minimum(weights, clip), alpha=alpha),
        self_normalised=self_normalised(rewards, weights).value,
        doubly_robust=robust,
        doubly_robust_bounds=bounds,
    )
