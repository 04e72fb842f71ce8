"""Logistic heads with a random intercept for every group: what a question or a conversation does to all answers in it
is not the answers' doing. Pure, float64.

Some questions please whatever is answered, some conversations are with people who never like anything. Fitted without
knowing of it, a head takes such offsets for the work of whatever the answers there have in common; and where labels
are many and questions few, it has to be held back so hard on their account that it foresees too small differences.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.heads import fit_logistic, logits, minimise
from reward_model.losses import soft_bce

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MixedHead:
    """`parameters` [R + 1], intercept last, of an answer in a group like the average one; `offsets` [G], the log-odds
    that each group adds, in the order of the sorted names of the groups."""

    parameters: Tensor
    offsets: Tensor


def fit_mixed_logistic(
    x: Tensor,
    targets: Tensor,
    weights: Tensor,
    groups: Ints,
    spread: float,
    l2: float,
    *,
    labels: float | None = None,
    between: float = 0.0,
    start: MixedHead | None = None,
) -> MixedHead:
    """s(x w + b + u_g) for soft targets in [0, 1], u_g ~ N(0, spread^2) in log-odds:

        minimise  sum_i v_i l_i / sum_i v_i + (lambda / 2) |w|^2 + sum_g u_g^2 / (2 n spread^2)
                  + w' S w / (2 n between^2)

    the mode of a generalised linear mixed model (penalised quasi-likelihood: Breslow & Clayton 1993, Journal of the
    American Statistical Association 88, 9) with the spread given. x [N, R], targets [N], weights v [N] >= 0 with a
    positive sum, groups [N]; n = `labels`, how many labels the rows stand for (None: N), so that weights may be of any
    unit. At spread 0 there are no offsets. The last term, S of `between_groups`, is the prior of u_g for the mean
    log-odds that the head itself gives a group, with a standard deviation `between` (0: no such prior). Convex:
    `start`, of the same groups, only saves time.

    w and b are those of a known group: over new ones, whose u is not known, probabilities are less extreme. The
    calibration, fitted on groups a head had not seen, makes up for it.
    """
    names, index = np.unique(groups, return_inverse=True)
    if spread <= 0.0 and between <= 0.0:
        begin = None if start is None else start.parameters
        return MixedHead(fit_logistic(x, targets, weights, l2, begin), torch.zeros(len(names), dtype=x.dtype))
    group_of, width = torch.from_numpy(index.reshape(-1)), x.shape[1] + 1
    share, total = weights / weights.sum(), float(len(targets) if labels is None else labels)
    count = len(names) if spread > 0.0 else 0
    begin = torch.zeros(width + count, dtype=x.dtype)
    if start is not None:
        begin = torch.cat([start.parameters, start.offsets / spread if count else start.offsets[:0]])
    scatter = between_groups(x, weights, group_of) / (total * between**2) if between > 0.0 else None

    def objective(parameters: Tensor) -> Tensor:
        head, units = parameters[:width], parameters[width:]  # u = spread x units, so that all are of one size
        offsets = spread * units[group_of] if count else 0.0
        loss = soft_bce(logits(x, head) + offsets, targets) @ share
        if scatter is not None:
            loss = loss + 0.5 * head[:-1] @ (scatter @ head[:-1])
        return loss + 0.5 * l2 * head[:-1].square().sum() + 0.5 * units.square().sum() / total

    found = minimise(objective, begin)
    return MixedHead(found[:width], spread * found[width:] if count else torch.zeros(len(names), dtype=x.dtype))


def between_groups(x: Tensor, weights: Tensor, group_of: Tensor) -> Tensor:
    """S [R, R], positive semidefinite: w' S w = sum over groups of the squared mean of x w in the group, about its mean
    over all rows, without what differences inside the group add to it.

    S = sum_g sum_{i != j in g} v_i v_j x_i x_j' / sum_{i != j in g} v_i v_j, x centred, eigenvalues below 0 set to 0:
    the products of two *different* rows hold what they share and, in the mean, nothing else (the unbiased estimate of
    a component of variance). Groups of one row say nothing of it and add nothing. x [N, R], weights v [N] >= 0 with a
    positive sum, `group_of` [N] from 0 on without gaps.
    """
    count = int(group_of.max()) + 1
    share = weights / weights.sum()
    rows = (x - share @ x) * share[:, None]
    sums = torch.zeros(count, x.shape[1], dtype=x.dtype).index_add(0, group_of, rows)
    mass, own = (torch.zeros(count, dtype=x.dtype).index_add(0, group_of, part) for part in (share, share.square()))
    pairs = mass.square() - own
    some = pairs > 1e-9 * mass.square()
    worth = torch.where(some, 1.0 / torch.where(some, pairs, 1.0), 0.0)
    table = sums.T @ (worth[:, None] * sums) - rows.T @ (worth[group_of][:, None] * rows)
    sizes, directions = torch.linalg.eigh(table)
    return torch.as_tensor((directions * sizes.clamp_min(0.0)) @ directions.T)
