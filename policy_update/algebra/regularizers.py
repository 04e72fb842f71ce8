"""What is added to the policy term: KL to the reference, an entropy bonus, the critic's own loss.

Estimators of KL(policy || reference) from sampled tokens (J. Schulman, 'Approximating KL divergence', 2020).

`new` (N, T) carries the gradient, `reference` (N, T) does not; both are log-probabilities in nats of the same sampled
tokens. Each returns (N, T). The gap is clamped to +-10 nats so that one odd token cannot dominate a step.
"""

import torch
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


def k3_corrected(new: Tensor, reference: Tensor, old: Tensor) -> Tensor:
    """rho k3, rho = exp(new - old) (DeepSeek-V3.2, TRL 1.16's default): its expectation over tokens of the old policy
    is the divergence of the new one, and its gradient differs from k3's even where new = old."""
    return (new - old).exp() * k3(new, reference)


def no_penalty(new: Tensor) -> Tensor:
    """0: the recipe has no KL in its loss, whatever the coefficient."""
    return torch.zeros_like(new)


def no_bonus(new: Tensor) -> Tensor:
    """0: no entropy bonus."""
    return torch.zeros_like(new)


def entropy_bonus(entropies: Tensor, *, entropy_weight: float = 1e-3) -> Tensor:
    """-entropy_weight H a token, H (N, T) the entropy in nats with gradient."""
    return -entropy_weight * entropies


def no_critic(new: Tensor) -> Tensor:
    """0: no critic."""
    return torch.zeros_like(new)


def clipped_value(
    values: Tensor, old_values: Tensor, returns: Tensor, *, value_clip: float = 0.2, value_weight: float = 0.5
) -> Tensor:
    """value_weight max((V - R)^2, (clip(V, V_old +- value_clip) - R)^2), all (N, T) (PPO as in arXiv 2006.05990; clip
    0.2 as verl, TRL and slime, OpenRLHF 0.5)."""
    near = values.clamp(old_values - value_clip, old_values + value_clip)
    return value_weight * torch.maximum((values - returns).square(), (near - returns).square())


def adapt_coefficient(beta: float, kl: float, target: float, start: float) -> float:
    """The next KL coefficient: 1.4 times as much above `target` (nats a token), a fifth less below half of it, within
    [start, 4 start] (the adaptive penalty of PPO, arXiv 1707.06347 section 4, with gentler steps and a ceiling: a
    penalty that may grow without bound pulls a good policy all the way back)."""
    if kl > target:
        return min(beta * 1.4, 4 * start)
    if kl < target / 2:
        return max(start, beta / 1.25)
    return beta
