"""Credit by entropy: where the policy was undecided, a right answer earns more and a wrong one loses less.

`sequence` (N,) advantages; `mask`, `entropies` (N, T), nats, of the policy that drew, without gradient; `group` answers
a prompt. An answer counts as right when its advantage is above 0 and as wrong when below.

The papers know rewards of 1 and -1 only, and normalise the shaped rewards of right and wrong answers each by their own
mean, which leaves nothing of the difference between right and wrong. Here the shaped reward multiplies the advantage
that a graded reward earned: where the advantage is 1 or -1, it is the paper's shaped reward, and its sum is kept when
the two shares add to 1.
"""

import torch
from torch import Tensor

from policy_update.algebra.credit import Credit
from policy_update.algebra.estimators import EPSILON


def by_token_entropy(
    sequence: Tensor,
    mask: Tensor,
    entropies: Tensor,
    group: int,
    *,
    outcome_share: float = 1.0,
    entropy_share: float = 0.1,
) -> Credit:
    """GTPO (arXiv 2508.04349): A_it = A_i (a1 + a2 d_t q_it / sum_k q_kt) over the right answers k of the group that
    reach position t, d_t of them, with q = H; over the wrong ones with q = 1 / H. a1 = outcome_share, a2 =
    entropy_share. (Not the GTPO of arXiv 2508.03772.)"""
    shape = (-1, group, mask.shape[1])
    active = mask.bool().view(shape)
    advantages = sequence.view(-1, group, 1)
    share = _share_among(entropies.view(shape), advantages, active)
    weight = outcome_share + entropy_share * share
    return Credit((advantages * weight * active).reshape(mask.shape))


def by_answer_entropy(
    sequence: Tensor,
    mask: Tensor,
    entropies: Tensor,
    group: int,
    *,
    outcome_share: float = 1.0,
    entropy_share: float = 0.1,
) -> Credit:
    """GRPO-S (arXiv 2508.04349): as `by_token_entropy` with each answer's mean entropy, one weight an answer."""
    mean = (entropies * mask).sum(1) / mask.sum(1).clamp_min(1)
    active = mask.bool().any(1).view(-1, group, 1)
    advantages = sequence.view(-1, group, 1)
    share = _share_among(mean.view(-1, group, 1), advantages, active)
    weighted = (advantages * (outcome_share + entropy_share * share)).flatten()
    return Credit(weighted[:, None] * mask)


def _share_among(entropies: Tensor, advantages: Tensor, active: Tensor) -> Tensor:
    """count * q / sum q among the active right answers (q = H) and among the wrong ones (q = 1 / H), each apart;
    `entropies`, `active` (P, G, T), `advantages` (P, G, 1). 0 elsewhere."""
    floored = entropies.clamp_min(EPSILON)
    share = torch.zeros_like(floored)
    # An answer at the mean is neither right nor wrong, whatever rounding made of its zero.
    margin = EPSILON * advantages.abs().amax(1, keepdim=True)
    for side, quantity in ((advantages > margin, floored), (advantages < -margin, 1 / floored)):
        members = side & active
        counted = quantity * members
        share = share + members.sum(1, keepdim=True) * counted / counted.sum(1, keepdim=True).clamp_min(EPSILON**2)
    return share
