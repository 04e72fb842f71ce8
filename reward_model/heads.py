"""Fitting linear heads: L2-regularised logistic on soft labels, and utilities on preference pairs. Pure, float64.

Every function takes features that `subspace` prepared; weights multiply each term of a *mean* loss, so the penalty
lambda means the same whatever the number of rows:

    minimise  sum_i v_i l_i / sum_i v_i + (lambda / 2) |w|^2        (the intercept is not penalised)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from infra.contracts import PlauditError
from reward_model.losses import NoiseParameters, pair_loss, soft_bce

_ITERATIONS = 100


class FitDiverged(PlauditError):
    """A fit ended in a value that is not finite."""

    code = "fit_diverged"


def fit_logistic(x: Tensor, targets: Tensor, weights: Tensor, l2: float, start: Tensor | None = None) -> Tensor:
    """Parameters [R + 1], intercept last, of s(x w + b) for soft targets in [0, 1].

    x [N, R], targets [N], weights [N] >= 0 with a positive sum; l2 = lambda > 0. Convex: `start` only saves time.
    """
    share = weights / weights.sum()
    begin = torch.zeros(x.shape[1] + 1, dtype=x.dtype) if start is None else start

    def objective(parameters: Tensor) -> Tensor:
        loss = soft_bce(logits(x, parameters), targets) @ share
        return loss + 0.5 * l2 * parameters[:-1].square().sum()

    return minimise(objective, begin)


def fit_utility(
    differences: Tensor,
    weights: Tensor,
    l2: float,
    loss: str = "bt",
    noise: NoiseParameters | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Parameters [R] of a utility u(x) = x w, from margins z = (x_preferred - x_other) w.

    differences [M, R], weights [M] >= 0 with a positive sum; `loss` a name in `losses.LOSSES`. Losses other than
    Bradley-Terry need not be convex: give the Bradley-Terry solution as `start`. Raises InvalidLoss, FitDiverged.
    """
    function, knowledge = pair_loss(loss), noise or NoiseParameters()
    share = weights / weights.sum()
    begin = torch.zeros(differences.shape[1], dtype=differences.dtype) if start is None else start

    def objective(parameters: Tensor) -> Tensor:
        margins = differences @ parameters
        return function(margins, knowledge) @ share + 0.5 * l2 * parameters.square().sum()

    return minimise(objective, begin)


def logits(x: Tensor, parameters: Tensor) -> Tensor:
    """x w + b for parameters [R + 1], intercept last."""
    return x @ parameters[:-1] + parameters[-1]


def minimise(objective: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """The argument that L-BFGS with a strong-Wolfe line search ends at from `start` [R]. Raises FitDiverged."""
    point = start.detach().clone().requires_grad_(True)
    solver = torch.optim.LBFGS(
        [point],
        max_iter=_ITERATIONS,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        solver.zero_grad()
        value = objective(point)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    found = point.detach()
    if not bool(torch.isfinite(found).all()):
        raise FitDiverged("a head's weights are not finite: look for NaN or infinite features in the training set")
    return found
