"""From a training set to a reward model: fine-tuned, calibrated on half of the hold-out, judged on the other half."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.models.loading import LoadedModel
from reward_model.calibration import Calibration, fit_calibration
from reward_model.data import TrainingSet
from reward_model.evaluation import auroc, brier, clustered_interval, wins
from reward_model.features import FeatureRecipe, Progress
from reward_model.finetuning.examples import Floats, Ints, examples_of
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import UTILITY, Checkpoints, train_lora_reward_model
from reward_model.length import length_report, preference_slope

Bools = NDArray[np.bool_]

_RESAMPLES = 500


def fit_finetuned(
    loaded: LoadedModel,
    data: TrainingSet,
    recipe: FeatureRecipe,
    options: FinetuneOptions,
    *,
    flip_rates: Mapping[str, float] | float = 0.0,
    checkpoints: Checkpoints | None = None,
    progress: Progress = lambda _fraction, _text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FinetunedRewardModel:
    """Train on the training side of `data`, with its card and a report on the hold-out.

    The hold-out's groups are dealt into two halves: on one the objectives' calibrations are fitted, the report is of
    the other. The utility's level is its mean over the hold-out. Raises what `train_lora_reward_model` does.
    """
    examples = examples_of(data, loaded, recipe, flip_rates)
    trained = train_lora_reward_model(
        loaded, examples, options, checkpoints=checkpoints, progress=progress, should_stop=should_stop
    )
    model = FinetunedRewardModel.of(trained, recipe)
    rows = np.flatnonzero(data.split.held_out)
    logits = np.zeros((len(data.answers), len(model.objectives)))
    if len(rows):
        asked, given = [data.answers[i].messages for i in rows], [data.answers[i].text for i in rows]
        logits[rows] = model.logits(asked, given)[:, :, 0].double().numpy()
    first = _first_half(data)
    calibrations = _calibrations(data, model.objectives, logits, first, options.seed)
    level = float(logits[rows, -1].mean()) if len(rows) and model.objectives[-1] == UTILITY else 0.0
    calibrated = model.calibrated(calibrations, level)
    report = {
        "heads": _report(data, calibrated.objectives, calibrations, logits, first, options.seed),
        "losses": list(trained.losses),
        "skipped_steps": trained.skipped,
    }
    manifest = msgspec.structs.replace(calibrated.manifest, report=report, card=data.card)
    return FinetunedRewardModel(manifest, calibrated.scorer, calibrated.cache)


def options_against_length(data: TrainingSet, options: FinetuneOptions) -> FinetuneOptions:
    """The same options with `length_slope` as the training pairs give it: what people's taste for length alone explains
    of their preferences is then no longer the model's to learn."""
    rows = data.pair_training
    lengths = _log_lengths(data)[data.pairs[rows]]
    if not len(lengths):
        return options
    slope = preference_slope(lengths[:, 0] - lengths[:, 1], data.pair_weights[rows], data.pair_soft[rows])
    return dataclasses.replace(options, length_slope=slope)


def _first_half(data: TrainingSet) -> Bools:
    """[N] True for every other group of the hold-out: rows that calibrations are fitted on."""
    _, index = np.unique(data.split.groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(int(index.max(initial=0)) + 1)
    return np.asarray(data.split.held_out & (order[index] % 2 == 0))


def _calibrations(
    data: TrainingSet, columns: tuple[str, ...], logits: Floats, first: Bools, seed: int
) -> dict[str, Calibration]:
    """Of each objective with labels of both kinds in the first half; the others keep the plain sigmoid."""
    found = {}
    for place, name in enumerate(columns):
        if name == UTILITY:
            continue
        rows, targets, weights = _labelled(data, name, first)
        if len(rows) and 0.0 < np.average(targets, weights=weights) < 1.0:
            found[name] = fit_calibration(
                logits[rows, place], targets, weights, groups=np.asarray(data.split.groups[rows], np.int64), seed=seed
            )
    return found


def _report(
    data: TrainingSet,
    columns: tuple[str, ...],
    calibrations: Mapping[str, Calibration],
    logits: Floats,
    first: Bools,
    seed: int,
) -> dict[str, Any]:
    """Of the hold-out's second half: AUROC, Brier score and length for objectives, accuracy and length for pairs."""
    second = data.split.held_out & ~first
    found: dict[str, Any] = {}
    for place, name in enumerate(columns):
        if name == UTILITY:
            found[name] = _pair_report(data, logits[:, place], second, seed)
            continue
        rows, targets, weights = _labelled(data, name, second)
        if not len(rows):
            found[name] = {"labels_held_out": 0}
            continue
        probabilities = calibrations.get(name, Calibration()).apply(logits[rows, place])
        found[name] = {
            "labels_held_out": len(rows),
            "auroc": auroc(targets, probabilities, weights),
            "brier": brier(targets, probabilities, weights),
            "length": length_report(logits[rows, place], _log_lengths(data)[rows], data.split.groups[rows]),
        }
    return found


def _pair_report(data: TrainingSet, utilities: Floats, second: Bools, seed: int) -> dict[str, Any]:
    pairs = data.pairs[data.pair_held_out & second[data.pairs].all(1)]
    if not len(pairs):
        return {"pairs_held_out": 0}
    right = wins(utilities[pairs[:, 0]] - utilities[pairs[:, 1]])
    groups = np.asarray(data.split.groups[pairs[:, 0]], np.int64)
    interval = clustered_interval(right, groups, np.ones(len(pairs)), resamples=_RESAMPLES, seed=seed)
    rows = np.unique(pairs)
    return {
        "pairs_held_out": len(pairs),
        "accuracy": interval.estimate,
        "accuracy_low": interval.low,
        "accuracy_high": interval.high,
        "length": length_report(utilities[rows], _log_lengths(data)[rows], data.split.groups[rows]),
    }


def _labelled(data: TrainingSet, name: str, where: Bools) -> tuple[Ints, Floats, Floats]:
    """Rows with a label of some weight, their targets and weights."""
    k = data.objectives.index(name)
    rows = np.flatnonzero(where & ~np.isnan(data.targets[:, k]) & (data.weights[:, k] > 0))
    return rows, data.targets[rows, k], data.weights[rows, k]


def _log_lengths(data: TrainingSet) -> Floats:
    return np.log1p([float(len(answer.text)) for answer in data.answers])
