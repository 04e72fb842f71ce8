"""Rewards of several objectives -> one advantage an answer. Pure functions of tensors.

Shapes: P prompts, G answers a prompt (the group), K objectives. Rewards (P, G, K) in float; NaN means that an objective
says nothing about an answer. Missing entries take no part in means, spreads or sums.
"""

import torch
from torch import Tensor

EPSILON = 1e-6


def group_normalized(rewards: Tensor, noise: Tensor) -> Tensor:
    """Each objective centred and scaled within its group: z = (r - mean_g) / sqrt(var_g + noise^2).

    `noise` (K,) >= 0 is the reward model's own standard error per objective: without it a head whose spread within a
    group is nothing but noise would be blown up to unit variance (GRPO, arXiv 2402.03300, eq. 1, with the floor that
    continuous rewards need). Returns (P, G, K); missing entries and groups with fewer than two rewards give 0.
    """
    present = ~rewards.isnan()
    count = present.sum(1, keepdim=True)
    filled = rewards.nan_to_num(0.0)
    mean = filled.sum(1, keepdim=True) / count.clamp_min(1)
    centred = (filled - mean) * present
    variance = centred.square().sum(1, keepdim=True) / count.clamp_min(1)
    z = centred / (variance + noise.square() + EPSILON**2).sqrt()
    return z * (count > 1)


def normalize_then_sum(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """GDPO (arXiv 2601.05242): normalise each objective in its group, then A = sum_k w_k z_k.

    Weights (K,) keep their meaning whatever the spread of an objective. Returns (P, G).
    """
    return (group_normalized(rewards, noise) * weights).sum(-1)


def sum_then_normalize(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """Plain GRPO on the scalarised reward: A = group-normalised sum_k w_k r_k. Returns (P, G).

    The spread of each objective distorts its weight; kept for comparison. An answer with any missing objective gets 0.
    """
    scalar = (rewards * weights).sum(-1, keepdim=True)
    floor = (weights * noise).square().sum().sqrt().reshape(1)
    return group_normalized(scalar, floor).squeeze(-1)


def center_only(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """Dr. GRPO (arXiv 2503.20783): A = sum_k w_k (r_k - mean_g), no division by the spread. Returns (P, G)."""
    del noise
    present = ~rewards.isnan()
    filled = rewards.nan_to_num(0.0)
    mean = filled.sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp_min(1)
    return ((filled - mean) * present * weights).sum(-1)


def leave_one_out(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """RLOO (arXiv 2402.14740): A_i = r_i - mean_{j != i} r_j = G / (G - 1) (r_i - mean_g). Returns (P, G)."""
    group = rewards.shape[1]
    if group < 2:
        return torch.zeros(rewards.shape[:2], dtype=rewards.dtype)
    return center_only(rewards, weights, noise) * group / (group - 1)


def whiten(advantages: Tensor) -> Tensor:
    """A / std over the whole batch (P, G): one learning rate fits every weighting. A constant batch gives zeros."""
    spread = advantages.std(unbiased=False)
    return advantages / spread if spread > EPSILON else torch.zeros_like(advantages)


def effective_shares(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """How much of the advantage each objective really makes up: mean |w_k z_k| over the sum of all. (K,), sums to 1."""
    parts = (group_normalized(rewards, noise) * weights).abs().mean((0, 1))
    return parts / parts.sum().clamp_min(EPSILON)


def scalar_covariance(rewards: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
    """Covariance of each normalised objective with the advantage, (K,): an objective improves only where it is > 0
    (arXiv 2602.06869)."""
    z = group_normalized(rewards, noise)
    advantage = (z * weights).sum(-1, keepdim=True)
    return (z * (advantage - advantage.mean())).mean((0, 1))
