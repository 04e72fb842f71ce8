"""Estimators of KL(policy || reference) from sampled tokens (J. Schulman, 'Approximating KL divergence', 2020).

`new` (N, T) carries the gradient, `reference` (N, T) does not; both are log-probabilities in nats of the same sampled
tokens. Each returns (N, T). The gap is clamped to +-10 nats so that one odd token cannot dominate a step.
"""

from torch import Tensor

GAP_LIMIT = 10.0


def k1(new: Tensor, reference: Tensor) -> Tensor:
    """log pi - log ref: unbiased, may be negative."""
    return (new - reference).clamp(-GAP_LIMIT, GAP_LIMIT)


def k2(new: Tensor, reference: Tensor) -> Tensor:
    """(log pi - log ref)^2 / 2: its gradient is the unbiased one when used in the loss."""
    return (new - reference).clamp(-GAP_LIMIT, GAP_LIMIT).square() / 2


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log ref - log pi: unbiased and never negative (the textbook GRPO form)."""
    gap = (reference - new).clamp(-GAP_LIMIT, GAP_LIMIT)
    return gap.exp() - gap - 1


def no_penalty(new: Tensor) -> Tensor:
    """0: the recipe has no KL in its loss."""
    return new * 0.0


def adapt_coefficient(beta: float, kl: float, target: float, start: float) -> float:
    """The next KL coefficient: 1.4 times as much above `target` (nats a token), a fifth less below half of it, within
    [start, 4 start] (the adaptive penalty of PPO, arXiv 1707.06347 section 4, with gentler steps and a ceiling: a
    penalty that may grow without bound pulls a good policy all the way back)."""
    if kl > target:
        return min(beta * 1.4, 4 * start)
    if kl < target / 2:
        return max(start, beta / 1.25)
    return beta
