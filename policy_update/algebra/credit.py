"""An advantage an answer -> one a token: who gets the credit. `sequence` (N,); results (N, T), 0 at padding.

`mask` (N, T) 1 on real tokens, right-padded; `old`, `reference` (N, T) log-probabilities in nats; `values` (N, T) the
critic's expectation of what is still to come before each token. A step's reward is r_t = -beta k1_t, and the answer's
own reward (the `sequence` entry) on its last token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policy_update.algebra.regularizers import k1


@dataclass(frozen=True)
class Credit:
    """`advantages` (N, T); `returns` (N, T), what a critic should have said, where there is one."""

    advantages: Tensor
    returns: Tensor | None = None


def uniform(sequence: Tensor, mask: Tensor) -> Credit:
    """Every token of an answer gets the answer's advantage."""
    return Credit(sequence[:, None] * mask)


def reward_to_go(
    sequence: Tensor, mask: Tensor, old: Tensor, reference: Tensor, *, reward_kl: float = 0.05, gamma: float = 1.0
) -> Credit:
    """A_t = sum_{s >= t} gamma^(s - t) r_s: a token answers for the KL of what follows it, not for what went before
    (REINFORCE++, arXiv 2501.03262; ReMax, arXiv 2310.10505)."""
    rewards = token_rewards(sequence, mask, old, reference, reward_kl)
    return Credit(discounted(rewards, torch.full_like(sequence, gamma)) * mask)


def gae(
    sequence: Tensor,
    mask: Tensor,
    old: Tensor,
    reference: Tensor,
    values: Tensor,
    *,
    reward_kl: float = 0.05,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> Credit:
    """Generalised advantages (arXiv 1506.02438): d_t = r_t + gamma V_{t+1} - V_t, A_t = d_t + gamma lam A_{t+1}, with
    V = 0 after the end; returns A_t + V_t. lam = 0.95 as in the paper; verl, OpenRLHF and slime set 1."""
    rewards = token_rewards(sequence, mask, old, reference, reward_kl)
    advantages = _generalised(rewards, values, mask, gamma, torch.full_like(sequence, lam))
    return Credit(advantages, (advantages + values) * mask)


def length_adaptive_gae(
    sequence: Tensor,
    mask: Tensor,
    old: Tensor,
    reference: Tensor,
    values: Tensor,
    *,
    reward_kl: float = 0.0,
    gamma: float = 1.0,
    alpha: float = 0.05,
) -> Credit:
    """VAPO (arXiv 2504.05118): lam = 1 - 1 / (alpha l) for an answer of l tokens, so that the sum of the weights stays
    a fixed share of its length; the critic learns from lam = 1 returns. Below 1 / alpha tokens, lam is 0."""
    rewards = token_rewards(sequence, mask, old, reference, reward_kl)
    length = mask.sum(1).clamp_min(1).to(sequence)
    lam = (1 - 1 / (alpha * length)).clamp_min(0.0)
    returns = discounted(rewards, torch.full_like(sequence, gamma)) * mask
    return Credit(_generalised(rewards, values, mask, gamma, lam), returns)


def token_rewards(sequence: Tensor, mask: Tensor, old: Tensor, reference: Tensor, reward_kl: float) -> Tensor:
    """r_t (N, T): -reward_kl (log pi - log ref) on every real token, the answer's reward on its last."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (positions == mask.sum(1, keepdim=True) - 1) & mask.bool()
    return last * sequence[:, None] - reward_kl * k1(old, reference) * mask


def discounted(rewards: Tensor, decay: Tensor) -> Tensor:
    """G_t = r_t + decay G_{t+1}; `rewards` (N, T), `decay` (N,) a row."""
    total, found = torch.zeros_like(rewards[:, 0]), []
    for step in reversed(rewards.unbind(1)):
        total = step + decay * total
        found.append(total)
    return torch.stack(found[::-1], 1)


def _generalised(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: Tensor) -> Tensor:
    known = values * mask
    following = torch.cat([known[:, 1:], torch.zeros_like(known[:, :1])], 1)
    return discounted((rewards + gamma * following - known) * mask, gamma * lam) * mask
