"""From a training set and its features to fitted heads and a report on held-out data. No files, no store."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.calibration import Calibration, choose_calibration
from reward_model.data import TrainingSet
from reward_model.judgments import same_pairs
from reward_model.length_removal import without_length
from reward_model.objective_head import FitOptions, FittedHead, fit_objective
from reward_model.report import noise_by_source, objective_metrics, utility_metrics
from reward_model.subspace import Standardizer, principal_basis
from reward_model.utility_head import FittedUtility, UtilityOptions, fit_utility_head
from reward_model.weights import discount_repeats

UTILITY = "utility"
Array = NDArray[np.float64]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Subspace:
    """Where heads are fitted: features standardised, then on `basis` [D, R]. Known from texts alone, without labels."""

    standardizer: Standardizer
    basis: Tensor

    @classmethod
    def of(cls, features: Tensor, components: int) -> "Subspace":
        """Measured on `features` [N, D] of the training side."""
        standardizer = Standardizer.of(features)
        return cls(standardizer, principal_basis(standardizer.apply(features), components))

    def reduce(self, features: Tensor) -> Tensor:
        """[N, D] -> [N, R] float64."""
        reduced: Tensor = self.standardizer.apply(features).double() @ self.basis
        return reduced


@dataclass(frozen=True)
class TrainedHeads:
    """Tensors for `RewardModel` (mean, spread [D]; weights [K, 1 + E, D]; intercepts [K, 1 + E], float32), the names of
    the K heads, the calibrations of the probability heads, the flip rate the utility head expects in records, the
    subspace all were fitted in, and the report."""

    objectives: tuple[str, ...]
    tensors: dict[str, Tensor]
    calibration: dict[str, Calibration]
    report: dict[str, Any]
    flip_rate: float
    subspace: Subspace


@dataclass(frozen=True)
class _Fitting:
    """What every head of one training shares."""

    data: TrainingSet
    reduced: Tensor
    log_length: Array
    settings: RewardModelSettings


def train_heads(
    data: TrainingSet,
    features: Tensor,
    settings: RewardModelSettings,
    progress: Progress = lambda _f, _t: None,
    *,
    subspace: Subspace | None = None,
) -> TrainedHeads:
    """Fit every head the data can carry; features [N, D] in the order of `data.answers`.

    A head that cannot be fitted is left out, with the reason under `absent` in the report. `subspace` of another
    training of the same answers, else measured here.
    """
    train = torch.from_numpy(data.split.training)
    space = subspace or Subspace.of(features[train], settings.components)
    log_length = np.log1p([len(answer.text) for answer in data.answers])
    fitting = _Fitting(data, space.reduce(features), log_length, settings)
    heads: dict[str, Tensor] = {}
    calibration: dict[str, Calibration] = {}
    metrics: dict[str, Any] = {}
    absent: dict[str, str] = {}
    steps = len(data.objectives) + 1
    for k, name in enumerate(data.objectives):
        progress(k / steps, f"head {name}")
        reason = missing_labels(data, k, settings)
        if reason is not None:
            absent[name] = reason
            continue
        heads[name], calibration[name], metrics[name] = _objective(fitting, k)
    progress(len(data.objectives) / steps, "utility head")
    reason, flip_rate = missing_pairs(data, settings), 0.0
    if reason is not None:
        absent[UTILITY] = reason
    else:
        utility = _length_removed(fitting, _fit_utility(fitting))
        flip_rate = utility.estimate.flip_rate
        heads[UTILITY] = torch.cat([utility.parameters, torch.zeros(len(utility.parameters), 1).double()], 1)
        metrics[UTILITY] = utility_metrics(data, fitting.reduced, utility, log_length, settings)
        metrics[UTILITY]["flip_rate_by_source"] = noise_by_source(data, utility, log_length, settings.seed)
    tensors = _tensors(space, heads, settings.ensemble)
    report = {"heads": metrics, "absent": absent, "settings": settings.model_dump(mode="json")}
    return TrainedHeads(tuple(heads), tensors, calibration, report, flip_rate, space)


def fit_options(settings: RewardModelSettings) -> UtilityOptions:
    """The fitting part of the settings."""
    options = FitOptions(
        settings.l2_grid,
        settings.folds,
        settings.ensemble,
        settings.seed,
        settings.group_spreads,
        settings.between_groups,
    )
    return UtilityOptions(options, settings.loss, settings.thresholds, settings.max_flip_rate)


def missing_pairs(data: TrainingSet, settings: RewardModelSettings) -> str | None:
    """Why there is no utility head, or None."""
    if len(data.pairs) < settings.min_pairs:
        return f"{settings.min_pairs - len(data.pairs)} pairs more needed ({len(data.pairs)} so far)"
    if len(set(data.split.groups[data.pairs[data.pair_training, 0]].tolist())) < 2:
        return "the pairs outside the hold-out are of one prompt or conversation; feedback on others is needed"
    return None


def missing_labels(data: TrainingSet, k: int, settings: RewardModelSettings) -> str | None:
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


def _objective(fitting: _Fitting, k: int) -> tuple[Tensor, Calibration, dict[str, Any]]:
    """Parameters [1 + E, R + 1], calibration and held-out metrics of one objective's head."""
    data, settings = fitting.data, fitting.settings
    rows = ~np.isnan(data.targets[:, k]) & data.split.training
    targets, groups = data.targets[rows, k], data.split.groups[rows]
    texts = [answer.content_key for answer, kept in zip(data.answers, rows.tolist(), strict=True) if kept]
    _, text, counts = np.unique(texts, return_inverse=True, return_counts=True)
    worth = discount_repeats(counts, settings.repeat_correlation)[text]
    weights, x = data.weights[rows, k] * worth, fitting.reduced[torch.from_numpy(rows)]
    head = fit_objective(x, targets, weights, groups, fit_options(settings).fit, labels=float(worth.sum()))
    choice = choose_calibration(head.out_of_fold, targets, weights, groups=groups, seed=settings.seed)
    chosen = {"calibration": choice.calibration.kind, "calibration_losses": choice.losses}
    return head.parameters, choice.calibration, _held_out(fitting, k, head, choice.calibration) | chosen


def _held_out(fitting: _Fitting, k: int, head: FittedHead, calibration: Calibration) -> dict[str, Any]:
    data = fitting.data
    present = ~np.isnan(data.targets[:, k])
    held, train = present & data.split.held_out, present & data.split.training
    parameters = head.parameters[0]
    probabilities = calibration.apply((fitting.reduced @ parameters[:-1] + parameters[-1]).numpy())
    base_rate = float(np.average(data.targets[train, k], weights=data.weights[train, k]))
    fit = {"l2": head.l2, "group_spread": head.spread, "labels_trained": int(train.sum()), "base_rate": base_rate}
    return fit | objective_metrics(
        data.targets[held, k],
        probabilities[held],
        data.weights[held, k],
        fitting.log_length[held],
        base_rate,
        fitting.settings.seed,
    )


def _fit_utility(fitting: _Fitting) -> FittedUtility:
    data = fitting.data
    rows = data.pair_training
    preferred, other = data.pairs[rows].T
    times = np.array([answer.created_at for answer in data.answers])
    texts = [answer.content_key for answer in data.answers]
    return fit_utility_head(
        fitting.reduced[torch.from_numpy(preferred)] - fitting.reduced[torch.from_numpy(other)],
        data.pair_weights[rows],
        data.split.groups[preferred],
        np.maximum(times[preferred], times[other]),
        fit_options(fitting.settings),
        people=[who for who, kept in zip(data.pair_people, rows.tolist(), strict=True) if kept],
        sources=[source for source, kept in zip(data.pair_sources, rows.tolist(), strict=True) if kept],
        soft=data.pair_soft[rows],
        pairs=same_pairs([texts[row] for row in preferred], [texts[row] for row in other]),
        lengths=fitting.log_length[preferred] - fitting.log_length[other],
    )


def _length_removed(fitting: _Fitting, utility: FittedUtility) -> FittedUtility:
    """The utility without what follows length, where the settings say so. Plain Bradley-Terry stays as it is."""
    if fitting.settings.utility_length == "kept":
        return utility
    rows = np.flatnonzero(fitting.data.split.training)
    prompts = np.unique([fitting.data.answers[row].prompt_key for row in rows], return_inverse=True)[1]
    cleaned = without_length(
        utility.parameters,
        fitting.reduced[torch.from_numpy(rows)],
        torch.from_numpy(fitting.log_length[rows]),
        torch.from_numpy(np.asarray(prompts).reshape(-1)),
    )
    return replace(utility, parameters=cleaned)


def _tensors(space: Subspace, heads: dict[str, Tensor], ensemble: int) -> dict[str, Tensor]:
    """Heads [1 + E, R + 1] of the subspace, back in the space of standardised features."""
    width, basis = 1 + ensemble, space.basis
    stacked = torch.stack(list(heads.values())) if heads else torch.zeros(0, width, basis.shape[1] + 1).double()
    return {
        "mean": space.standardizer.mean,
        "spread": space.standardizer.spread,
        "weights": (stacked[..., :-1] @ basis.T).float(),
        "intercepts": stacked[..., -1].float(),
    }
