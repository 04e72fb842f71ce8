"""Pairwise accuracy on every pair, each judged by a model that saw neither its conversation nor its prompt. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.data import TrainingSet
from reward_model.evaluation import Interval, clustered_interval, wins
from reward_model.split import grouped_folds, link_groups
from reward_model.subspace import Standardizer, principal_basis
from reward_model.training import fit_options
from reward_model.utility_head import fit_utility_head

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class CrossValidated:
    """Out-of-fold results over M pairs in `groups` [M]. Margins [M] of the robust loss and of plain Bradley-Terry;
    intervals from a bootstrap over whole groups; `gain` is robust minus plain, pair by pair; `flip_rates`,
    `thresholds` and `penalties` are what each fold chose without its own pairs."""

    margins: Array
    margins_bt: Array
    groups: NDArray[np.int64]
    accuracy: Interval
    accuracy_bt: Interval
    gain: Interval
    accuracy_of_longer: Interval
    flip_rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    penalties: tuple[float, ...]


def cross_validate_pairs(
    data: TrainingSet,
    features: Tensor,
    settings: RewardModelSettings,
    *,
    folds: int = 10,
    progress: Progress = lambda _fraction, _text: None,
) -> CrossValidated:
    """Fit on all folds but one, judge the pairs of that one, in turn; features [N, D] in the order of `data.answers`.

    Folds hold whole groups of answers that share a conversation, a prompt or a pair. Everything is chosen inside the
    training folds: standardisation, subspace, penalty, flip rate, threshold. Uses all pairs, the hold-out included:
    this is a measurement of the method, not of a saved model. M >= 2 groups.
    """
    conversations = [answer.conversation_id for answer in data.answers]
    groups = link_groups(conversations, [answer.prompt_key for answer in data.answers], data.pairs)
    preferred, other = data.pairs.T
    fold_of = grouped_folds(groups[preferred], min(folds, len(set(groups[preferred].tolist()))), settings.seed)
    robust, plain = np.zeros(len(data.pairs)), np.zeros(len(data.pairs))
    chosen: list[tuple[float, float, float]] = []
    count = int(fold_of.max()) + 1
    for fold in range(count):
        progress(fold / count, f"fold {fold + 1} of {count}")
        outside = fold_of == fold
        robust[outside], plain[outside], choice = _one_fold(data, features, groups, outside, settings)
        chosen.append(choice)
    progress(1.0, "cross-validated")
    lengths = np.array([len(answer.text) for answer in data.answers], np.float64)

    def interval(values: Array) -> Interval:
        return clustered_interval(values, groups[preferred], data.pair_weights, resamples=2000, seed=settings.seed)

    return CrossValidated(
        margins=robust,
        margins_bt=plain,
        groups=groups[preferred],
        accuracy=interval(wins(robust)),
        accuracy_bt=interval(wins(plain)),
        gain=interval(wins(robust) - wins(plain)),
        accuracy_of_longer=interval(wins(lengths[preferred] - lengths[other])),
        flip_rates=tuple(c[0] for c in chosen),
        thresholds=tuple(c[1] for c in chosen),
        penalties=tuple(c[2] for c in chosen),
    )


def _one_fold(
    data: TrainingSet,
    features: Tensor,
    groups: NDArray[np.int64],
    outside: NDArray[np.bool_],
    settings: RewardModelSettings,
) -> tuple[Array, Array, tuple[float, float, float]]:
    """Margins of the pairs `outside`, robust and plain, and (flip rate, threshold, penalty) as chosen inside."""
    inside = data.pairs[~outside]
    rows = torch.from_numpy(np.unique(inside))
    standardizer = Standardizer.of(features[rows])
    x = standardizer.apply(features)
    reduced = x.double() @ principal_basis(x[rows], settings.components)
    times = np.array([answer.created_at for answer in data.answers])
    options = fit_options(settings)
    fitted = fit_utility_head(
        reduced[inside[:, 0]] - reduced[inside[:, 1]],
        data.pair_weights[~outside],
        groups[inside[:, 0]],
        times[inside].max(1),
        replace(options, fit=replace(options.fit, ensemble=0)),
    )
    judged = data.pairs[outside]
    differences = reduced[judged[:, 0]] - reduced[judged[:, 1]]
    margins = (differences @ fitted.parameters[0]).numpy()
    return margins, (differences @ fitted.plain).numpy(), (fitted.estimate.flip_rate, fitted.noise.threshold, fitted.l2)
