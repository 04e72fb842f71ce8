"""What happens to the rewards before they are compared: penalties by length, selection, KL as a reward.

A penalty becomes an objective of its own with a weight, so that whatever scalarisation follows treats it like the rest:
with one objective and `sum_then_each` it is the paper's r + penalty. Inputs: `lengths` (P, G) in tokens; `old`,
`reference` (N, T) log-probabilities in nats; `mask` (N, T); N = P G rows. Each returns the new `Shaped`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from policy_update.algebra import regularizers
from policy_update.algebra.estimators import EPSILON, centred


@dataclass(frozen=True)
class Shaped:
    """Rewards on their way to advantages. `rewards` (P, G, K), NaN = missing; `weights`, `noise` (K,); `greedy` (P, K),
    the rewards of each prompt's greedy answer, or None."""

    names: tuple[str, ...]
    rewards: Tensor
    weights: Tensor
    noise: Tensor
    greedy: Tensor | None = None


def with_objective(shaped: Shaped, name: str, values: Tensor, weight: float) -> Shaped:
    """One objective more: `values` (P, G) without noise, and 0 for the greedy answer."""
    greedy = shaped.greedy
    return Shaped(
        (*shaped.names, name),
        torch.cat([shaped.rewards, values.to(shaped.rewards)[..., None]], -1),
        torch.cat([shaped.weights, shaped.weights.new_full((1,), weight)]),
        torch.cat([shaped.noise, shaped.noise.new_zeros(1)]),
        None if greedy is None else torch.cat([greedy, greedy.new_zeros(len(greedy), 1)], -1),
    )


def drop_saturated(shaped: Shaped, *, saturation: float = 0.0) -> Shaped:
    """Weight 0 for an objective whose spread within groups (root mean square over the batch) is at most `saturation`
    times its noise: what is left of it is noise, which normalising would blow up. At 0, only constant ones drop out."""
    deviation, count = centred(shaped.rewards)
    spread = (deviation.square().sum((0, 1)) / count.sum((0, 1)).clamp_min(1)).sqrt()
    alive = spread > saturation * shaped.noise + EPSILON
    return replace(shaped, weights=shaped.weights * alive)


def soft_overlong(
    shaped: Shaped, lengths: Tensor, max_tokens: int, *, overlong_cache: float = 0.2, overlong_weight: float = 1.0
) -> Shaped:
    """DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13) as the objective `overlong`:

    0 while L <= Lmax - Lc, then falling by 1 / Lc a token to -1 at Lmax, with Lc = overlong_cache * Lmax (the paper's
    4096 of 20480).
    """
    cache = max(overlong_cache * max_tokens, EPSILON)
    punishment = ((max_tokens - cache - lengths) / cache).clamp(-1.0, 0.0)
    return with_objective(shaped, "overlong", punishment, overlong_weight)


def length_exact(
    shaped: Shaped, lengths: Tensor, max_tokens: int, *, target_share: float = 0.5, length_weight: float = 1.0
) -> Shaped:
    """L1-Exact (arXiv 2503.04697): the objective `length_target` = -|n - n_gold| / Lmax, n_gold = target_share * Lmax.

    The paper's slope is 0.0003 a token at a limit near 4,000, which is a weight near 1 here.
    """
    distance = (lengths - target_share * max_tokens).abs() / max_tokens
    return with_objective(shaped, "length_target", -distance, length_weight)


def length_at_most(
    shaped: Shaped, lengths: Tensor, max_tokens: int, *, target_share: float = 0.5, length_weight: float = 1.0
) -> Shaped:
    """L1-Max (arXiv 2503.04697): the objective `length_target` = (clip((n_gold - n) / Lmax, -1, 1) + 1) / 2 in [0, 1].

    The paper multiplies it with a verdict of 0 or 1; graded rewards have none, so it is added.
    """
    margin = ((target_share * max_tokens - lengths) / max_tokens).clamp(-1.0, 1.0)
    return with_objective(shaped, "length_target", (margin + 1) / 2, length_weight)


def keep_shortest(shaped: Shaped, lengths: Tensor, *, kept_share: float = 0.5) -> Shaped:
    """GFPO (arXiv 2508.09726): only the shortest answers of a group are compared; the others count as unrewarded (NaN),
    so their advantage is 0. `kept_share` of the group stays, at least two; ties with the last kept stay too."""
    return _keep_smallest(shaped, lengths.to(shaped.rewards), kept_share)


def keep_efficient(shaped: Shaped, lengths: Tensor, *, kept_share: float = 0.5) -> Shaped:
    """GFPO by token efficiency: those answers with most weighted reward a token stay (see `keep_shortest`)."""
    scalar = (shaped.rewards.nan_to_num(0.0) * shaped.weights).sum(-1)
    return _keep_smallest(shaped, -scalar / lengths.clamp_min(1), kept_share)


def _keep_smallest(shaped: Shaped, metric: Tensor, kept_share: float) -> Shaped:
    group = metric.shape[1]
    kept = min(group, max(2, round(kept_share * group)))
    limit = metric.kthvalue(kept, 1, keepdim=True).values
    rejected = (metric > limit)[..., None]
    return replace(shaped, rewards=shaped.rewards.masked_fill(rejected, torch.nan))


def unlikely_first(shaped: Shaped, old: Tensor, mask: Tensor, *, unlikeliness: float = 0.25) -> Shaped:
    """r <- r - b |r| rank / G, rank 0 for the answer least likely by mean log-probability, G - 1 for the likeliest:
    what the policy would have said anyway is worth less (unlikeliness reward, arXiv 2506.02355).

    The paper's r (1 - b rank / G) for the rewards >= 0 it is made for; the modulus keeps its sense below 0.
    """
    prompts, group = shaped.rewards.shape[:2]
    likelihood = ((old * mask).sum(1) / mask.sum(1).clamp_min(1)).view(prompts, group)
    rank = (likelihood[:, :, None] > likelihood[:, None, :]).sum(-1).to(shaped.rewards)[..., None]
    return replace(shaped, rewards=shaped.rewards - unlikeliness * shaped.rewards.abs() * rank / group)


def k1_in_reward(shaped: Shaped, old: Tensor, reference: Tensor, mask: Tensor, *, reward_kl: float = 0.05) -> Shaped:
    """r <- r - beta sum_t (log pi - log ref): the objective `kl` with weight `reward_kl` (RLOO, arXiv 2402.14740)."""
    return _divergence_as_objective(shaped, regularizers.k1(old, reference) * mask, reward_kl)


def k2_in_reward(shaped: Shaped, old: Tensor, reference: Tensor, mask: Tensor, *, reward_kl: float = 0.05) -> Shaped:
    """As `k1_in_reward` with (log pi - log ref)^2 / 2 a token."""
    return _divergence_as_objective(shaped, regularizers.k2(old, reference) * mask, reward_kl)


def k3_in_reward(shaped: Shaped, old: Tensor, reference: Tensor, mask: Tensor, *, reward_kl: float = 0.05) -> Shaped:
    """As `k1_in_reward` with the estimator k3 a token (see `regularizers`)."""
    return _divergence_as_objective(shaped, regularizers.k3(old, reference) * mask, reward_kl)


def _divergence_as_objective(shaped: Shaped, per_token: Tensor, reward_kl: float) -> Shaped:
    return with_objective(shaped, "kl", -per_token.sum(1).view(shaped.rewards.shape[:2]), reward_kl)
