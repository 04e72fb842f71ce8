"""Log-probabilities and advantages -> a loss per token, to be minimised. Pure functions of tensors.

Shapes: N answers, T tokens. `new` (N, T) carries the gradient; `old` and `advantages` (N, T) do not. Log-probabilities
in nats. Each returns (N, T); rho = exp(new - old).
"""

import torch
from torch import Tensor


def clipped(new: Tensor, old: Tensor, advantages: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.2) -> Tensor:
    """PPO's clipped surrogate: -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A).

    0.2 and 0.2: PPO (arXiv 1707.06347); clip_high = 0.28: DAPO's clip-higher (arXiv 2503.14476).
    """
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def score(new: Tensor, advantages: Tensor) -> Tensor:
    """-A log pi: the score-function gradient with no ratio and no clip (REINFORCE, Williams 1992). One update a
    rollout: a second would be off policy and would not know."""
    return -advantages * new


def dual_clipped(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 3.0,
) -> Tensor:
    """`clipped`, and the loss of a token with A < 0 at most dual_clip |A|: a far too likely bad token no longer
    dominates the step (arXiv 1912.09729)."""
    loss = clipped(new, old, advantages, clip_low=clip_low, clip_high=clip_high)
    return torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)


def gradient_preserving(
    new: Tensor, old: Tensor, advantages: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.28
) -> Tensor:
    """GPPO (arXiv 2508.07629): the value of `clipped`, but a clipped token keeps the gradient it has at the bound:
    -min(rho A, c A) with c = sg(clip(rho) / rho) rho, so that d c / d new = clip(rho)."""
    ratio = (new - old).exp()
    kept = (ratio.clamp(1 - clip_low, 1 + clip_high) / ratio).detach() * ratio
    return -torch.minimum(ratio * advantages, kept * advantages)


def weighted_score(new: Tensor, old: Tensor, advantages: Tensor, *, ratio_cap: float = 5.0) -> Tensor:
    """CISPO (arXiv 2506.13585): -sg(min(rho, ratio_cap)) A log pi: every token keeps a gradient, its weight is bounded.

    `ratio_cap` is absolute, as TRL's epsilon_high and ScaleRL's 5.0; verl and slime write the same bound as
    1 + clip_ratio_high, and add a lower one, which the paper's experiments leave off.
    """
    return -(new - old).exp().clamp_max(ratio_cap).detach() * advantages * new


def clipped_by_covariance(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    chosen: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """Clip-Cov (arXiv 2505.22617): `clipped`, and nothing for the `chosen` (N, T) tokens (see `covariance`)."""
    return clipped(new, old, advantages, clip_low=clip_low, clip_high=clip_high) * ~chosen


def held_by_covariance(
    new: Tensor, old: Tensor, advantages: Tensor, chosen: Tensor, *, kl_weight: float = 1.0
) -> Tensor:
    """KL-Cov (arXiv 2505.22617): -rho A, plus kl_weight |new - old| for the `chosen` (N, T) tokens. The weight is the
    paper's 1; verl's configuration sets 0.1. At new = old the penalty has no gradient: it acts from the second update
    of a rollout on."""
    return -(new - old).exp() * advantages + kl_weight * chosen * (new - old).abs()
