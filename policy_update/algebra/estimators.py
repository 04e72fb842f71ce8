"""Rewards of a group -> how much better each answer is than what was to be expected, objective by objective.

Shapes: P prompts, G answers a prompt (the group), K objectives; `rewards` (P, G, K) float, NaN where an objective says
nothing about an answer; `noise` (K,) >= 0, the reward's own standard error in its own unit. Each returns (P, G, K), 0
where the reward is missing, and 0 for a group in which there is nothing to compare with.
"""

import torch
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


def batch_normalized(rewards: Tensor, noise: Tensor) -> Tensor:
    """(r - mean_g) / sqrt(var_batch + noise^2): the group's mean, the spread of all rewards of the batch (Lite PPO,
    arXiv 2508.08221): an easy prompt, whose rewards differ little, is not blown up."""
    deviation, count = centred(rewards)
    flat = rewards.flatten(0, 1)[None]
    everywhere, total = centred(flat)
    variance = everywhere.square().sum(1, keepdim=True) / total.clamp_min(1)
    return deviation / (variance + noise.square() + EPSILON**2).sqrt() * (count > 1)


def as_given(rewards: Tensor) -> Tensor:
    """r itself: no baseline. A missing reward counts as the mean of those there are (0 if none)."""
    present = ~rewards.isnan()
    mean = rewards.nan_to_num(0.0).sum((0, 1)) / present.sum((0, 1)).clamp_min(1)
    return torch.where(present, rewards.nan_to_num(0.0), mean.expand_as(rewards))


def above_greedy(rewards: Tensor, greedy: Tensor) -> Tensor:
    """r - r(greedy answer of the same prompt); `greedy` (P, K) (ReMax, arXiv 2310.10505)."""
    return (rewards - greedy[:, None, :]).nan_to_num(0.0)


def best_of_k(rewards: Tensor, *, k: float = 4.0) -> Tensor:
    """How much each answer adds to the expected best of k drawn from its group, k an integer in 2..G:

        A_i = 1 / C(n, k) sum over sets S of k answers with i in S of (max S - max S without i)
            = 1 / C(n, k) sum_{j: r_j <= r_i, j before i} (r_i - r_j) C(j, k - 2)

    with j numbering the n present rewards of the group in rising order from 0. The unbiased gradient weight of max@k
    with its leave-one-out baseline (arXiv 2505.15201), for rewards of 0 and 1 that of pass@k; at k = G it is the
    best's lead over the second best and 0 for all others (arXiv 2503.19595). A group of fewer than k gets 0.
    """
    count = (~rewards.isnan()).sum(1, keepdim=True)
    ordered, order = torch.sort(rewards, 1)  # NaN last
    ordered = ordered.nan_to_num(0.0)
    below = torch.arange(rewards.shape[1], device=rewards.device, dtype=rewards.dtype)[None, :, None]
    sets = binomial(below, k - 2)
    before = sets.cumsum(1) - sets
    lead = ordered * before - ((ordered * sets).cumsum(1) - ordered * sets)
    lead = lead / binomial(count.to(rewards.dtype), k).clamp_min(1.0) * ((below < count) & (count >= k))
    return torch.zeros_like(lead).scatter(1, order, lead)


def binomial(n: Tensor, k: float) -> Tensor:
    """C(n, k) for integer n >= 0 and k, 0 where k < 0 or k > n; exact to rounding of lgamma."""
    fits = (n >= k) & (k >= 0)
    top, bottom = torch.where(fits, n, torch.full_like(n, max(k, 0.0))), torch.tensor(max(k, 0.0)).to(n)
    value = (torch.lgamma(top + 1) - torch.lgamma(bottom + 1) - torch.lgamma(top - bottom + 1)).exp()
    return value * fits
