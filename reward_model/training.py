"""From a training set and its features to fitted heads and a report on held-out data. No files, no store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.data import TrainingSet
from reward_model.objective_head import FitOptions, FittedHead, fit_objective
from reward_model.report import objective_metrics, utility_metrics
from reward_model.subspace import Standardizer, principal_basis
from reward_model.utility_head import FittedUtility, UtilityOptions, fit_utility_head

UTILITY = "utility"
Array = NDArray[np.float64]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class TrainedHeads:
    """Tensors for `RewardModel` (mean, spread [D]; weights [K, 1 + E, D]; intercepts [K, 1 + E], float32), the names of
    the K heads, Platt's (slope, offset) of the probability heads, and the report."""

    objectives: tuple[str, ...]
    tensors: dict[str, Tensor]
    calibration: dict[str, tuple[float, float]]
    report: dict[str, Any]


def train_heads(
    data: TrainingSet, features: Tensor, settings: RewardModelSettings, progress: Progress = lambda _f, _t: None
) -> TrainedHeads:
    """Fit every head the data can carry; features [N, D] in the order of `data.answers`.

    A head that cannot be fitted is left out, with the reason under `absent` in the report.
    """
    train = torch.from_numpy(data.split.training)
    standardizer = Standardizer.of(features[train])
    x = standardizer.apply(features)
    basis = principal_basis(x[train], settings.components)
    reduced = x.double() @ basis
    log_length = np.log1p([len(answer.text) for answer in data.answers])
    heads: dict[str, Tensor] = {}
    calibration: dict[str, tuple[float, float]] = {}
    metrics: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for k, name in enumerate(data.objectives):
        progress(k / (len(data.objectives) + 1), f"head {name}")
        reason = _missing_labels(data, k, settings)
        if reason is not None:
            absent[name] = reason
            continue
        head = _fit_objective(data, k, reduced, settings)
        heads[name] = head.parameters
        calibration[name] = (head.calibration.slope, head.calibration.offset)
        metrics[name] = _evaluate_objective(data, k, reduced, head, log_length, settings)
    progress(len(data.objectives) / (len(data.objectives) + 1), "utility head")
    reason = _missing_pairs(data, settings)
    if reason is not None:
        absent[UTILITY] = reason
    else:
        utility = _fit_utility(data, reduced, settings)
        heads[UTILITY] = torch.cat([utility.parameters, torch.zeros(len(utility.parameters), 1).double()], 1)
        metrics[UTILITY] = utility_metrics(data, reduced, utility, log_length, settings)
    tensors = _tensors(standardizer, basis, heads, settings.ensemble)
    report = {"heads": metrics, "absent": absent, "settings": settings.model_dump(mode="json")}
    return TrainedHeads(tuple(heads), tensors, calibration, report)


def fit_options(settings: RewardModelSettings) -> UtilityOptions:
    """The fitting part of the settings."""
    options = FitOptions(settings.l2_grid, settings.folds, settings.ensemble, settings.seed)
    return UtilityOptions(options, settings.loss, settings.thresholds, settings.max_flip_rate)


def _missing_pairs(data: TrainingSet, settings: RewardModelSettings) -> str | None:
    """Why there is no utility head, or None."""
    if len(data.pairs) < settings.min_pairs:
        return f"{settings.min_pairs - len(data.pairs)} pairs more needed ({len(data.pairs)} so far)"
    if len(set(data.split.groups[data.pairs[data.pair_training, 0]].tolist())) < 2:
        return "the pairs outside the hold-out are of one prompt or conversation; feedback on others is needed"
    return None


def _missing_labels(data: TrainingSet, k: int, settings: RewardModelSettings) -> str | None:
    """Why objective k gets no head, or None. Counts are of all labels: the hold-out takes its share of the minimum."""
    targets = data.targets[:, k]
    present = ~np.isnan(targets)
    if present.sum() < settings.min_labels:
        return f"{settings.min_labels - int(present.sum())} labels more needed ({int(present.sum())} so far)"
    train = present & data.split.training
    positive, negative = float(targets[train].sum()), float((1.0 - targets[train]).sum())
    fewest = settings.min_positive * (1.0 - settings.hold_out_fraction)
    if positive < fewest or negative < fewest:
        kind, mass = ("positive", positive) if positive < negative else ("negative", negative)
        return f"only {mass:.1f} {kind} labels to train on; {fewest:.0f} are needed"
    return None


def _fit_objective(data: TrainingSet, k: int, reduced: Tensor, settings: RewardModelSettings) -> FittedHead:
    rows = ~np.isnan(data.targets[:, k]) & data.split.training
    return fit_objective(
        reduced[torch.from_numpy(rows)],
        data.targets[rows, k],
        data.weights[rows, k],
        data.split.groups[rows],
        fit_options(settings).fit,
    )


def _evaluate_objective(
    data: TrainingSet, k: int, reduced: Tensor, head: FittedHead, log_length: Array, settings: RewardModelSettings
) -> dict[str, Any]:
    present = ~np.isnan(data.targets[:, k])
    held, train = present & data.split.held_out, present & data.split.training
    parameters = head.parameters[0]
    probabilities = head.calibration.apply((reduced @ parameters[:-1] + parameters[-1]).numpy())
    base_rate = float(np.average(data.targets[train, k], weights=data.weights[train, k]))
    fit = {"l2": head.l2, "labels_trained": int(train.sum()), "base_rate": base_rate}
    targets, weights = data.targets[held, k], data.weights[held, k]
    return fit | objective_metrics(targets, probabilities[held], weights, log_length[held], base_rate, settings.seed)


def _fit_utility(data: TrainingSet, reduced: Tensor, settings: RewardModelSettings) -> FittedUtility:
    rows = data.pair_training
    preferred, other = data.pairs[rows].T
    times = np.array([answer.created_at for answer in data.answers])
    return fit_utility_head(
        reduced[torch.from_numpy(preferred)] - reduced[torch.from_numpy(other)],
        data.pair_weights[rows],
        data.split.groups[preferred],
        np.maximum(times[preferred], times[other]),
        fit_options(settings),
    )


def _tensors(standardizer: Standardizer, basis: Tensor, heads: dict[str, Tensor], ensemble: int) -> dict[str, Tensor]:
    """Heads [1 + E, R + 1] of the subspace, back in the space of standardised features."""
    width = 1 + ensemble
    stacked = torch.stack(list(heads.values())) if heads else torch.zeros(0, width, basis.shape[1] + 1).double()
    return {
        "mean": standardizer.mean,
        "spread": standardizer.spread,
        "weights": (stacked[..., :-1] @ basis.T).float(),
        "intercepts": stacked[..., -1].float(),
    }
