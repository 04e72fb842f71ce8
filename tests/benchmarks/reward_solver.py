"""Many small penalised linear fits at once: the same rows of features, other weights, rates, losses and penalties.

Each of B problems minimises  sum_i [A_ib l(x_i w_b) + B_ib l(-x_i w_b)] / sum_i (A_ib + B_ib) + (lambda_b / 2) |w_b|^2
by L-BFGS with a diagonal preconditioner; all B share their matrix products. Rows stand on the principal axes, where the
curvature of any of these losses is nearly diagonal, so that a dozen or two steps are enough.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Elementwise = Callable[[Tensor], Tensor]
"""Margins [U, B] -> losses [U, B]."""

_MEMORY, _STEPS, _HALVINGS = 6, 20, 5


def solve(
    x: Tensor, ahead: Tensor, behind: Tensor, l2: Tensor, loss: Elementwise, start: Tensor | None = None
) -> Tensor:
    """W [R, B] for x [U, R], ahead and behind [U, B] >= 0, l2 [B] > 0, from `start` [R, B] or zero."""
    total = (ahead + behind).sum(0)
    parts, mass = (ahead / total, behind / total), 1.0 / (0.25 * x.square().mean(0)[:, None] + l2)

    def evaluate(w: Tensor) -> tuple[Tensor, Tensor]:
        z = (x @ w).requires_grad_(True)
        with torch.enable_grad():
            value = (parts[0] * loss(z) + parts[1] * loss(-z)).sum(0)
            (slope,) = torch.autograd.grad(value.sum(), z)
        return value.detach() + 0.5 * l2 * w.square().sum(0), x.T @ slope + l2 * w

    w = torch.zeros(x.shape[1], len(l2), dtype=x.dtype) if start is None else start.clone()
    value, slope = evaluate(w)
    steps: list[Tensor] = []
    turns: list[Tensor] = []
    for _ in range(_STEPS):
        direction = -_scaled(slope, steps, turns, mass)
        w_next, value_next, slope_next = _search(evaluate, w, value, slope, direction)
        step, turn = w_next - w, slope_next - slope
        w, value, slope = w_next, value_next, slope_next
        steps, turns = [*steps, step][-_MEMORY:], [*turns, turn][-_MEMORY:]
        if float((x @ step).abs().max()) < 1e-3:
            break
    return w


def _scaled(slope: Tensor, steps: list[Tensor], turns: list[Tensor], mass: Tensor) -> Tensor:
    """The two-loop recursion, problem by problem; a step without positive curvature counts for nothing."""
    found, kept = slope.clone(), []
    for step, turn in zip(reversed(steps), reversed(turns), strict=True):
        along = (step * turn).sum(0)
        share = torch.where(along > 1e-14, 1.0 / along.clamp_min(1e-14), torch.zeros_like(along))
        weight = share * (step * found).sum(0)
        found = found - weight * turn
        kept.append((share, weight))
    found = mass * found
    for (share, weight), step, turn in zip(reversed(kept), steps, turns, strict=True):
        found = found + step * (weight - share * (turn * found).sum(0))
    return found


def _search(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]], w: Tensor, value: Tensor, slope: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve the step of each problem until its objective falls enough; a problem that finds none stays."""
    descent = (slope * direction).sum(0)
    direction = torch.where(descent < 0.0, direction, -slope)
    descent = torch.minimum(descent, -(slope.square().sum(0)) * (descent >= 0.0))
    length = torch.ones_like(value)
    for _ in range(_HALVINGS):
        trial = w + length * direction
        found, turned = evaluate(trial)
        good = found <= value + 1e-4 * length * descent + 1e-6
        if bool(good.all()):
            return trial, found, turned
        length = torch.where(good, length, 0.5 * length)
    stays = ~good
    trial[:, stays] = w[:, stays]
    found, turned = evaluate(trial)
    return trial, found, turned
