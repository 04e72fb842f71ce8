"""One objective's head: penalty chosen and probabilities calibrated out of fold, spread by bootstrap. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.calibration import Platt, fit_platt, sigmoid
from reward_model.evaluation import log_loss
from reward_model.group_intercepts import MixedHead, fit_mixed_logistic
from reward_model.heads import logits
from reward_model.split import grouped_folds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEAR = 3


@dataclass(frozen=True)
class FittedHead:
    """parameters [1 + E, R + 1], intercept last: fitted on all rows, then on E bootstrap samples; `l2` and `spread` as
    chosen; `out_of_fold` [N] logits."""

    parameters: Tensor
    calibration: Platt
    l2: float
    spread: float
    out_of_fold: Array


@dataclass(frozen=True)
class FitOptions:
    """How any head is fitted: candidate penalties, folds, refits and seed; for objectives only, `spreads`: candidate
    standard deviations of what a group adds to the log-odds of its answers (0: nothing), and `between`: that of what a
    head says of a group as a whole (0: as it likes)."""

    l2_grid: Sequence[float]
    folds: int
    ensemble: int
    seed: int
    spreads: Sequence[float] = (0.0,)
    between: float = 0.0


def fit_objective(
    x: Tensor, targets: Array, weights: Array, groups: Ints, options: FitOptions, *, labels: float | None = None
) -> FittedHead:
    """Fit on N training rows: x [N, R] float64, targets [N] in [0, 1], weights [N] > 0, groups [N]; `labels`, how many
    labels the rows stand for (None: one each).

    Penalty and spread of the group intercepts with the least out-of-fold cross-entropy win; Platt's sigmoid is fitted
    on those same out-of-fold logits, so that neither ever sees the answer, or another of its group, it is judged by.
    All penalties are tried at the least spread, then `_NEAR` of them: the best there and the next smaller ones, since
    what intercepts take over need not be held back.
    """
    penalties = sorted(options.l2_grid)
    unseen: dict[tuple[float, float], Array] = {}
    losses: dict[tuple[float, float], float] = {}
    for spread in sorted(options.spreads):
        found = _out_of_fold(x, targets, weights, groups, options, spread, penalties, labels)
        unseen |= found
        losses |= {
            choice: log_loss(targets, fitted_probabilities(logit, targets, weights), weights)
            for choice, logit in found.items()
        }
        best = min(losses, key=lambda choice: (losses[choice], choice[0], -choice[1]))
        if spread == min(options.spreads):
            place = penalties.index(best[1]) + 1
            penalties = penalties[max(0, place - _NEAR) : place]
    spread, l2 = best
    y, v = torch.from_numpy(targets), torch.from_numpy(weights)
    fit = partial(fit_mixed_logistic, x, y, labels=labels, between=options.between)
    main = fit(v, groups, spread, l2)
    refits = [
        fit(v * torch.from_numpy(counts), groups, spread, l2, start=main)
        for counts in group_bootstrap(groups, options.ensemble, options.seed)
    ]
    parameters = torch.stack([fitted.parameters for fitted in (main, *refits)])
    return FittedHead(parameters, fit_platt(unseen[best], targets, weights), l2, spread, unseen[best])


def _out_of_fold(
    x: Tensor,
    targets: Array,
    weights: Array,
    groups: Ints,
    options: FitOptions,
    spread: float,
    penalties: Sequence[float],
    labels: float | None,
) -> dict[tuple[float, float], Array]:
    """(spread, penalty) -> logits [N], each by a fit that saw no row of its group."""
    y, v = torch.from_numpy(targets), torch.from_numpy(weights)
    folds = grouped_folds(groups, options.folds, options.seed)
    unseen = {(spread, l2): np.zeros(len(targets)) for l2 in penalties}
    for fold in np.unique(folds):
        rows = folds != fold
        inside, outside = torch.from_numpy(rows), torch.from_numpy(~rows)
        known = None if labels is None else labels * float(weights[rows].sum() / weights.sum())
        start: MixedHead | None = None
        for l2 in sorted(penalties, reverse=True):
            start = fit_mixed_logistic(
                x[inside],
                y[inside],
                v[inside],
                groups[rows],
                spread,
                l2,
                labels=known,
                between=options.between,
                start=start,
            )
            unseen[spread, l2][~rows] = logits(x[outside], start.parameters).numpy()
    return unseen


def fitted_probabilities(unseen: Array, targets: Array, weights: Array) -> Array:
    """Probabilities after calibration of these very logits: what a penalty is judged by, its scale set aside."""
    platt = fit_platt(unseen, targets, weights)
    return np.asarray(sigmoid(platt.slope * unseen + platt.offset))


def group_bootstrap(groups: Ints, draws: int, seed: int) -> list[Array]:
    """`draws` weightings [N] of the rows: how often each row's group came up when as many groups were drawn anew."""
    names, index = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    chances = np.full(len(names), 1.0 / len(names))
    return [rng.multinomial(len(names), chances).astype(np.float64)[index.reshape(-1)] for _ in range(draws)]
