"""Off-policy estimators: what a policy would have earned, from answers another policy gave. A pre-gate only."""

from dataclasses import dataclass

import numpy as np

from infra.statistics.two_arm import FloatArray


@dataclass(frozen=True)
class OffPolicyEstimate:
    """`value`: estimated mean reward; `effective_sample_size` = (sum w)^2 / sum w^2, in answers. Below about 100 the
    value is no evidence, neither for nor against."""

    value: float
    effective_sample_size: float


def effective_sample_size(weights: FloatArray) -> float:
    """(sum w)^2 / sum w^2, between 1 and n; 0 when all weights are 0."""
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0


def inverse_propensity(rewards: FloatArray, weights: FloatArray, clip: float = np.inf) -> OffPolicyEstimate:
    """mean(w r), weights w = pi_new / pi_logged clipped from above at `clip` (Ionides, JCGS 2008)."""
    w = np.minimum(weights, clip)
    return OffPolicyEstimate(float(np.mean(w * rewards)), effective_sample_size(w))


def self_normalised(rewards: FloatArray, weights: FloatArray) -> OffPolicyEstimate:
    """sum(w r) / sum(w) (Swaminathan and Joachims, NeurIPS 2015). NaN when all weights are 0."""
    total = float(np.sum(weights))
    value = float(np.sum(weights * rewards)) / total if total > 0 else float("nan")
    return OffPolicyEstimate(value, effective_sample_size(weights))


def doubly_robust(
    rewards: FloatArray, weights: FloatArray, predicted_logged: FloatArray, predicted_new: FloatArray
) -> OffPolicyEstimate:
    """mean(q_new + w (r - q_logged)) (Dudik, Langford, Li, ICML 2011).

    `predicted_logged`: the reward model's value of the logged answer; `predicted_new`: its mean under the new policy
    for the same prompt.
    """
    value = float(np.mean(predicted_new + weights * (rewards - predicted_logged)))
    return OffPolicyEstimate(value, effective_sample_size(weights))
