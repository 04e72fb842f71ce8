"""Numbers about a reward model, all on held-out data, and the lines people read. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.calibration import sigmoid
from reward_model.data import TrainingSet
from reward_model.evaluation import (
    Interval,
    auroc,
    brier,
    clustered_interval,
    correlation,
    ece_if_calibrated,
    expected_calibration_error,
    log_loss,
    wins,
)
from reward_model.length import length_report
from reward_model.matched_pairs import MATCHED
from reward_model.residual_noise import rate_intervals
from reward_model.utility_head import FittedUtility

Array = NDArray[np.float64]

_DRAWS = 20
"""Resamples behind the flip rate of a source."""


def objective_metrics(
    targets: Array, probabilities: Array, weights: Array, log_length: Array, base_rate: float, seed: int
) -> dict[str, Any]:
    """Metrics of a probability head on its held-out labels [H]; `base_rate` of training is the chance baseline.

    `brier_skill` = 1 - Brier / Brier of always answering the base rate: a calibrated constant scores 0.
    """
    found: dict[str, Any] = {"labels_held_out": len(targets)}
    if not len(targets):
        return found
    chance = np.full(len(targets), base_rate)
    reference = brier(targets, chance, weights)
    return found | {
        "auroc": auroc(targets, probabilities, weights),
        "brier": brier(targets, probabilities, weights),
        "brier_skill": 1.0 - brier(targets, probabilities, weights) / reference if reference > 0 else None,
        "log_loss": log_loss(targets, probabilities, weights),
        "log_loss_chance": log_loss(targets, chance, weights),
        "ece": expected_calibration_error(targets, probabilities, weights),
        "ece_if_calibrated": ece_if_calibrated(probabilities, weights, seed),
        "length_correlation": correlation(probabilities, log_length),
    }


def utility_metrics(
    data: TrainingSet, reduced: Tensor, utility: FittedUtility, log_length: Array, settings: RewardModelSettings
) -> dict[str, Any]:
    """The utility head on held-out data: how it was fitted, how it follows length, and on stated preferences (those
    made of two labels count as training data only) its accuracy and plain Bradley-Terry's, with clustered intervals."""
    stated = np.array([source != MATCHED for source in data.pair_sources], bool)
    rows = data.pair_held_out & stated
    scores, plain = (reduced @ utility.parameters[0]).numpy(), (reduced @ utility.plain).numpy()
    found: dict[str, Any] = {
        "loss": settings.loss,
        "l2": utility.l2,
        "threshold": utility.noise.threshold,
        "flip_rate": utility.estimate.flip_rate,
        "flip_rate_interval": list(utility.estimate.interval),
        "pairs_trained": int(data.pair_training.sum()),
        "pairs_held_out": int(rows.sum()),
        **_length(data, scores, log_length),
    }
    if not rows.any():
        return found
    preferred, other = data.pairs[rows].T
    margins, margins_bt = scores[preferred] - scores[other], plain[preferred] - plain[other]
    rate = utility.estimate.flip_rate
    recorded = (1.0 - rate) * sigmoid(margins) + rate * sigmoid(-margins)
    groups, weights = data.split.groups[preferred], data.pair_weights[rows]
    return found | {
        "accuracy": interval_of(wins(margins), groups, weights, settings),
        "accuracy_bt": interval_of(wins(margins_bt), groups, weights, settings),
        "gain_over_bt": interval_of(wins(margins) - wins(margins_bt), groups, weights, settings),
        "accuracy_of_longer": float(np.average(wins(log_length[preferred] - log_length[other]), weights=weights)),
        "log_loss": float(-np.average(np.log(recorded), weights=weights)),
        "log_loss_chance": float(np.log(2.0)),
    }


def _length(data: TrainingSet, scores: Array, log_length: Array) -> dict[str, Any]:
    """How the utility of held-out answers follows their length, before and after an explicit regressor."""
    held = data.split.held_out
    found: dict[str, Any] = {"length_correlation": correlation(scores[held], log_length[held])}
    if held.any():
        names = [answer.prompt_key for answer, kept in zip(data.answers, held.tolist(), strict=True) if kept]
        prompts = np.asarray(np.unique(names, return_inverse=True)[1], np.int64).reshape(-1)
        found["length"] = length_report(scores[held], log_length[held], prompts)
    return found


def noise_by_source(data: TrainingSet, utility: FittedUtility, log_length: Array, seed: int) -> dict[str, Any]:
    """Residual flip rate of each source of pairs, after trust weighting, with its interval; {} where no pair and no
    judge came twice, so that only one rate for all could be estimated."""
    if utility.raters is None:
        return {}
    rows = data.pair_training
    preferred, other = data.pairs[rows].T
    _, first = np.unique(utility.judgments.pair, return_index=True)
    found = rate_intervals(
        utility.judgments,
        utility.raters,
        data.split.groups[preferred][first],
        lengths=(log_length[preferred] - log_length[other])[first],
        weights=data.pair_weights[rows],
        draws=_DRAWS,
        seed=seed,
    )
    return {
        source: {"estimate": one.flip_rate, "low": one.interval[0], "high": one.interval[1]}
        for source, one in found.by_source.items()
    }


def interval_of(
    values: Array, groups: NDArray[np.int64], weights: Array, settings: RewardModelSettings
) -> dict[str, Any]:
    """A weighted mean as a document: estimate, low, high, count, groups."""
    return asdict(clustered_interval(values, groups, weights, resamples=settings.bootstrap, seed=settings.seed))


def flat_metrics(heads: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """`head.metric` -> number, for the registry and for Prometheus; intervals give their estimate, low and high."""
    flat: dict[str, float] = {}
    for head, metrics in heads.items():
        for name, value in metrics.items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, number in parts.items():
                if isinstance(number, int | float) and not isinstance(number, bool):
                    flat[f"{head}.{name}.{part}" if part else f"{head}.{name}"] = float(number)
    return flat


def summary(heads: Mapping[str, Mapping[str, Any]], absent: Mapping[str, str]) -> list[str]:
    """One line a head, in words."""
    lines = [_line(name, metrics) for name, metrics in heads.items()]
    return lines + [f"{name}: no head, {reason}" for name, reason in absent.items()]


def _line(name: str, metrics: Mapping[str, Any]) -> str:
    if "flip_rate" in metrics:
        if "accuracy" not in metrics:
            return f"{name}: {metrics['pairs_trained']} pairs, none held out"
        beside, other = ("frozen", "frozen features") if "accuracy_frozen" in metrics else ("bt", "plain bt")
        robust, plain = Interval(**metrics["accuracy"]), Interval(**metrics[f"accuracy_{beside}"])
        gain = Interval(**metrics[f"gain_over_{beside}"])
        return (
            f"{name}: {metrics['loss']} prefers as people did in {robust.estimate:.1%} of {robust.count} unseen pairs "
            f"(95 % {robust.low:.1%} to {robust.high:.1%}), {other} in {plain.estimate:.1%} "
            f"(gain {gain.estimate:+.1%}, {gain.low:+.1%} to {gain.high:+.1%}); chance 50 %; "
            f"estimated flip rate {metrics['flip_rate']:.2f} ({metrics['flip_rate_interval'][0]:.2f} to "
            f"{metrics['flip_rate_interval'][1]:.2f})"
        )
    ranking = metrics.get("auroc")
    if ranking is None:
        return f"{name}: {metrics['labels_trained']} labels, too few held out to judge"
    return (
        f"{name}: AUROC {ranking:.3f} (chance 0.5) on {metrics['labels_held_out']} held-out labels, Brier "
        f"{metrics['brier']:.4f} (skill {metrics['brier_skill'] or 0.0:+.3f}), ECE {metrics['ece']:.3f}"
    )
