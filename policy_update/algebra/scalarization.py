"""Several objectives -> one advantage an answer.

`estimate(rewards, noise, greedy)` -> (P, G, K) is the recipe's estimator (see `estimators`). Each function returns
(advantages (P, G), parts (P, G, K)): parts are what each objective puts into the advantage; their mean absolute values
are its effective share.
"""

from collections.abc import Callable

from torch import Tensor

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
    any missing objective gets 0.
    """
    from policy_update.algebra.estimators import centre_only

    greedy = None if shaped.greedy is None else (shaped.greedy * shaped.weights).sum(-1, keepdim=True)
    weighted = shaped.rewards * shaped.weights
    scalar = Shaped(
        ("sum",),
        weighted.sum(-1, keepdim=True),
        shaped.weights.new_ones(1),
        (shaped.weights * shaped.noise).square().sum().sqrt().reshape(1),
        greedy,
    )
    return estimate(scalar).squeeze(-1), centre_only(weighted)
