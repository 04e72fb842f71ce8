"""Several objectives -> one advantage an answer.

`estimate(shaped)` -> (P, G, K) is the recipe's estimator (see `estimators`). Each function returns
(advantages (P, G), parts (P, G, K)): parts are what each objective puts into the advantage; their mean absolute values
are its effective share. `multipliers`: objective -> lambda >= 0 for those objectives that are limits (costs: smaller
is better) instead of goals; their weights are not looked at.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from policy_update.algebra.estimators import centre_only
from policy_update.algebra.shaping import Shaped

Estimate = Callable[[Shaped], Tensor]


def each_then_sum(shaped: Shaped, estimate: Estimate) -> tuple[Tensor, Tensor]:
    """A = sum_k w_k z_k with z_k each objective's own estimate (GDPO, arXiv 2601.05242).

    Weights keep their meaning whatever the spread of an objective. A missing reward counts as no opinion.
    """
    parts = estimate(shaped) * shaped.weights
    return parts.sum(-1), parts


def sum_then_each(shaped: Shaped, estimate: Estimate) -> tuple[Tensor, Tensor]:
    """A = estimate of sum_k w_k r_k: plain GRPO on the scalarised reward.

    The spread of each objective distorts its weight; kept for comparison and for papers with one reward. An answer with
    any missing objective gets 0, unless that objective's weight is 0.
    """
    alive, greedy = shaped.weights != 0, shaped.greedy
    weighted = torch.where(alive, shaped.rewards, torch.zeros_like(shaped.rewards)) * shaped.weights
    scalar = Shaped(
        ("sum",),
        weighted.sum(-1, keepdim=True),
        shaped.weights.new_ones(1),
        (shaped.weights * shaped.noise).square().sum().sqrt().reshape(1),
        None if greedy is None else (torch.where(alive, greedy, 0.0) * shaped.weights).sum(-1, keepdim=True),
    )
    return estimate(scalar).squeeze(-1), centre_only(weighted)


def constrained(shaped: Shaped, estimate: Estimate, multipliers: Mapping[str, float]) -> tuple[Tensor, Tensor]:
    """A = sum_goals w_k z_k - sum_limits lambda_k z_k (constrained GRPO, arXiv 2602.05863): advantages are scalarised,
    not rewards, so that a multiplier's pull does not depend on the spreads. `multipliers.update_multipliers` moves the
    lambdas. Costs are compared as given: indicators for the paper's form, probabilities where they are known."""
    parts = estimate(shaped) * _prices(shaped, multipliers)
    return parts.sum(-1), parts


def feasibility_first(
    shaped: Shaped, estimate: Estimate, multipliers: Mapping[str, float], *, violation: float = 0.5
) -> tuple[Tensor, Tensor]:
    """A = sum_goals w_k z_k, but at most 0 for an answer with any limit's cost above `violation`: only answers that
    keep the limits are made likelier (CGPO's CRPG, arXiv 2409.20370, with the group as baseline, not a chosen answer).

    `multipliers` names the limits; their values are not looked at.
    """
    limits = _limits(shaped, multipliers)
    parts = estimate(shaped) * torch.where(limits, torch.zeros_like(shaped.weights), shaped.weights)
    broken = ((shaped.rewards > violation) & limits).any(-1)
    advantages = parts.sum(-1)
    return torch.where(broken, advantages.clamp_max(0.0), advantages), parts


def softmin(shaped: Shaped, estimate: Estimate, *, softmin_temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """A = -tau log sum_k w_k exp(-z_k / tau), weights scaled to sum 1 over the objectives present, centred within the
    group: close to the weighted mean minus variance over objectives / (2 tau), so that an objective left behind counts
    most (RVPO, arXiv 2605.05750). tau to 0 is the worst objective, to infinity the weighted mean. Weights must be > 0;
    others are left out."""
    z = estimate(shaped)
    present = ~shaped.rewards.isnan() & (shaped.weights > 0)
    weights = shaped.weights * present
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    exponent = torch.where(present, weights.clamp_min(1e-30).log() - z / softmin_temperature, -torch.inf)
    said = present.any(-1)
    exponent = torch.where(said[..., None], exponent, torch.zeros_like(exponent))
    soft = -softmin_temperature * torch.logsumexp(exponent, -1)
    centred = centre_only(torch.where(said, soft, torch.nan)[..., None]).squeeze(-1)
    return centred, exponent.softmax(-1) * z


def _limits(shaped: Shaped, multipliers: Mapping[str, float]) -> Tensor:
    """(K,) true where the objective is a limit."""
    return torch.tensor([name in multipliers for name in shaped.names], device=shaped.rewards.device)


def _prices(shaped: Shaped, multipliers: Mapping[str, float]) -> Tensor:
    """(K,) the weight of a goal, minus the multiplier of a limit."""
    costs = torch.tensor([-multipliers.get(name, 0.0) for name in shaped.names]).to(shaped.weights)
    return torch.where(_limits(shaped, multipliers), costs, shaped.weights)
