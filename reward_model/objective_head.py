"""One objective's head: penalty chosen and probabilities calibrated out of fold, spread by bootstrap. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.calibration import Platt, fit_platt, sigmoid
from reward_model.evaluation import log_loss
from reward_model.heads import fit_logistic, logits
from reward_model.split import grouped_folds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class FittedHead:
    """parameters [1 + E, R + 1], intercept last: fitted on all rows, then on E bootstrap samples; `l2` as chosen."""

    parameters: Tensor
    calibration: Platt
    l2: float
    out_of_fold: Array


@dataclass(frozen=True)
class FitOptions:
    """How any head is fitted: candidate penalties, folds, refits and seed."""

    l2_grid: Sequence[float]
    folds: int
    ensemble: int
    seed: int


def fit_objective(x: Tensor, targets: Array, weights: Array, groups: Ints, options: FitOptions) -> FittedHead:
    """Fit on N training rows: x [N, R] float64, targets [N] in [0, 1], weights [N] > 0, groups [N].

    The penalty with the least out-of-fold cross-entropy wins; Platt's sigmoid is fitted on those same out-of-fold
    logits, so that neither ever sees the answer it is judged by.
    """
    y, v = torch.from_numpy(targets), torch.from_numpy(weights)
    folds = grouped_folds(groups, options.folds, options.seed)
    unseen = {l2: np.zeros(len(targets)) for l2 in options.l2_grid}
    for fold in np.unique(folds):
        inside, outside = torch.from_numpy(folds != fold), torch.from_numpy(folds == fold)
        start = None
        for l2 in sorted(options.l2_grid, reverse=True):
            start = fit_logistic(x[inside], y[inside], v[inside], l2, start)
            unseen[l2][outside.numpy()] = logits(x[outside], start).numpy()
    losses = {
        l2: log_loss(targets, fitted_probabilities(found, targets, weights), weights) for l2, found in unseen.items()
    }
    best = min(losses, key=lambda l2: (losses[l2], -l2))
    main = fit_logistic(x, y, v, best)
    refits = [
        fit_logistic(x, y, v * torch.from_numpy(counts), best, main)
        for counts in group_bootstrap(groups, options.ensemble, options.seed)
    ]
    return FittedHead(torch.stack([main, *refits]), fit_platt(unseen[best], targets, weights), best, unseen[best])


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
