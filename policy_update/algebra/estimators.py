"""Rewards of a group -> how much better each answer is than what was to be expected, objective by objective.

Shapes: P prompts, G answers a prompt (the group), K objectives; `rewards` (P, G, K) float, NaN where an objective says
nothing about an answer; `noise` (K,) >= 0, the reward's own standard error in its own unit. Each returns (P, G, K), 0
where the reward is missing, and 0 for a group in which there is nothing to compare with.
"""

from torch import Tensor

EPSILON = 1e-6


def centred(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """(r - mean over the group's present rewards, 0 where missing (P, G, K); number present (P, 1, K))."""
    present = ~rewards.isnan()
    count = present.sum(1, keepdim=True)
    filled = rewards.nan_to_num(0.0)
    mean = filled.sum(1, keepdim=True) / count.clamp_min(1)
    return (filled - mean) * present, count


def group_normalized(rewards: Tensor, noise: Tensor) -> Tensor:
    """z = (r - mean_g) / sqrt(var_g + noise^2), the variance over the group (GRPO, arXiv 2402.03300, eq. 1).

    The floor is what continuous rewards need: without it a head whose spread within a group is nothing but noise would
    be blown up to unit variance. Population variance; TRL, verl and OpenRLHF divide by G - 1, which scales every
    advantage by sqrt((G - 1) / G).
    """
    deviation, count = centred(rewards)
    variance = deviation.square().sum(1, keepdim=True) / count.clamp_min(1)
    z = deviation / (variance + noise.square() + EPSILON**2).sqrt()
    return z * (count > 1)


def centre_only(rewards: Tensor) -> Tensor:
    """r - mean_g, no division by the spread (Dr. GRPO, arXiv 2503.20783)."""
    return centred(rewards)[0]


def leave_one_out(rewards: Tensor) -> Tensor:
    """r_i - mean_{j != i} r_j = n / (n - 1) (r_i - mean_g), n rewards present (RLOO, arXiv 2402.14740)."""
    deviation, count = centred(rewards)
    return deviation * count / (count - 1).clamp_min(1)
