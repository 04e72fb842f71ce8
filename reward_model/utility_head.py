"""The utility head: a robust loss on preference pairs, its noise estimated from data, plain Bradley-Terry beside it.

1. Bradley-Terry, out of fold, for each candidate penalty: the one with the least cross-entropy wins.
2. Flip rate e: profile likelihood on those out-of-fold margins (`noise`).
3. Threshold t of the robust loss: the one whose fit on the older groups best predicts the newest quarter of the
   groups, by the likelihood of the noise-mixed model after rescaling; the larger t (nearer to `bt`) wins ties.
4. Fit on everything, from the Bradley-Terry solution, since the loss is not convex; then the bootstrap refits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.heads import fit_utility
from reward_model.losses import NoiseParameters
from reward_model.noise import NoiseEstimate, best_scale, estimate_flip_rate, log_likelihood
from reward_model.objective_head import FitOptions, group_bootstrap
from reward_model.split import grouped_folds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEWEST_SHARE = 0.25
_FEWEST_TO_VALIDATE = 20
"""With fewer pairs on the newer side, its likelihood is noise: the largest threshold is taken."""


@dataclass(frozen=True)
class FittedUtility:
    """parameters [1 + E, R] of u(x) = x w, scaled so that s(u(a) - u(b)) is the probability that a is truly preferred;
    `plain` [R] is Bradley-Terry on the same pairs, on its own scale."""

    parameters: Tensor
    plain: Tensor
    noise: NoiseParameters
    estimate: NoiseEstimate
    l2: float


@dataclass(frozen=True)
class UtilityOptions:
    """What the utility head needs beyond FitOptions."""

    fit: FitOptions
    loss: str
    thresholds: Sequence[float]
    max_flip_rate: float


def fit_utility_head(
    differences: Tensor, weights: Array, groups: Ints, times: Array, options: UtilityOptions
) -> FittedUtility:
    """Fit on M training pairs: differences [M, R] float64 of preferred - other, weights [M] > 0, groups [M],
    times [M] (of the answers, for the inner chronological split)."""
    v = torch.from_numpy(weights)
    l2, margins = _choose_penalty(differences, weights, groups, options.fit)
    estimate = estimate_flip_rate(margins, weights, largest=options.max_flip_rate)
    threshold = _choose_threshold(differences, weights, groups, times, l2, estimate.flip_rate, options)
    noise = NoiseParameters(estimate.flip_rate, threshold)
    plain = fit_utility(differences, v, l2)
    main = fit_utility(differences, v, l2, options.loss, noise, plain)
    refits = [
        fit_utility(differences, v * torch.from_numpy(counts), l2, options.loss, noise, main)
        for counts in group_bootstrap(groups, options.fit.ensemble, options.fit.seed)
    ]
    scale = _scale_out_of_fold(differences, weights, groups, l2, noise, options)
    return FittedUtility(torch.stack([main, *refits]) * scale, plain, noise, estimate, l2)


def _choose_penalty(differences: Tensor, weights: Array, groups: Ints, options: FitOptions) -> tuple[float, Array]:
    """The penalty of least out-of-fold cross-entropy after rescaling, and the margins found with it."""
    v = torch.from_numpy(weights)
    folds = grouped_folds(groups, options.folds, options.seed)
    unseen = {l2: np.zeros(len(weights)) for l2 in options.l2_grid}
    for fold in np.unique(folds):
        inside, outside = torch.from_numpy(folds != fold), torch.from_numpy(folds == fold)
        start = None
        for l2 in sorted(options.l2_grid, reverse=True):
            start = fit_utility(differences[inside], v[inside], l2, start=start)
            unseen[l2][outside.numpy()] = (differences[outside] @ start).numpy()
    scores = {l2: _rescaled_likelihood(margins, weights, 0.0) for l2, margins in unseen.items()}
    best = max(scores, key=lambda l2: (scores[l2], l2))
    return best, unseen[best]


def _choose_threshold(
    differences: Tensor,
    weights: Array,
    groups: Ints,
    times: Array,
    l2: float,
    flip_rate: float,
    options: UtilityOptions,
) -> float:
    newer = newest_groups(groups, times, _NEWEST_SHARE)
    largest = max(options.thresholds)
    if newer.sum() < _FEWEST_TO_VALIDATE or (~newer).sum() < _FEWEST_TO_VALIDATE:
        return largest
    inside, outside = torch.from_numpy(~newer), torch.from_numpy(newer)
    v = torch.from_numpy(weights)
    start = fit_utility(differences[inside], v[inside], l2)
    scores = {}
    for t in options.thresholds:
        noise = NoiseParameters(flip_rate, t)
        found = fit_utility(differences[inside], v[inside], l2, options.loss, noise, start)
        scores[t] = _rescaled_likelihood((differences[outside] @ found).numpy(), weights[newer], flip_rate)
    return max(scores, key=lambda t: (round(scores[t], 6), t))


def newest_groups(groups: Ints, times: Array, share: float) -> NDArray[np.bool_]:
    """Rows [M] of the groups whose newest member is newest, about `share` of all rows."""
    names, index = np.unique(groups, return_inverse=True)
    newest = np.full(len(names), -np.inf)
    np.maximum.at(newest, index.reshape(-1), times)
    sizes = np.bincount(index.reshape(-1))
    order = np.argsort(-newest, kind="stable")
    chosen = order[np.cumsum(sizes[order]) <= max(share * len(groups), sizes[order[0]])]
    return np.asarray(np.isin(index.reshape(-1), chosen))


def _scale_out_of_fold(
    differences: Tensor, weights: Array, groups: Ints, l2: float, noise: NoiseParameters, options: UtilityOptions
) -> float:
    """The factor that turns margins of the robust fit into log-odds of the true preference, on unseen pairs."""
    v = torch.from_numpy(weights)
    folds = grouped_folds(groups, options.fit.folds, options.fit.seed)
    unseen = np.zeros(len(weights))
    for fold in np.unique(folds):
        inside, outside = torch.from_numpy(folds != fold), torch.from_numpy(folds == fold)
        start = fit_utility(differences[inside], v[inside], l2)
        found = fit_utility(differences[inside], v[inside], l2, options.loss, noise, start)
        unseen[outside.numpy()] = (differences[outside] @ found).numpy()
    spread = float(np.sqrt(np.mean(unseen**2))) or 1.0
    return best_scale(unseen / spread, weights, noise.flip_rate) / spread


def _rescaled_likelihood(margins: Array, weights: Array, flip_rate: float) -> float:
    """Mean log-likelihood of the noise-mixed model on these margins, at the best common scale."""
    spread = float(np.sqrt(np.mean(margins**2))) or 1.0
    unit = margins / spread
    return log_likelihood(best_scale(unit, weights, flip_rate) * unit, weights, flip_rate) / float(weights.sum())
