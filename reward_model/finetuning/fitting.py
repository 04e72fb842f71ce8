"""From a training set to a reward model: fine-tuned, calibrated on answers set aside, judged on the hold-out."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from infra.models.loading import LoadedModel
from reward_model.calibration import Calibration, choose_calibration, sigmoid
from reward_model.data import TrainingSet
from reward_model.evaluation import clustered_interval, correlation, wins
from reward_model.features import FeatureRecipe, Progress
from reward_model.finetuning.examples import Floats, Ints, examples_of
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import UTILITY, Checkpoints, train_lora_reward_model
from reward_model.length import length_report, preference_slope
from reward_model.matched_pairs import MATCHED
from reward_model.report import objective_metrics

Bools = NDArray[np.bool_]

_RESAMPLES = 500


def fit_finetuned(
    loaded: LoadedModel,
    data: TrainingSet,
    recipe: FeatureRecipe,
    options: FinetuneOptions,
    *,
    flip_rates: Mapping[str, float] | float = 0.0,
    calibration_fraction: float = 0.15,
    heads: Collection[str] | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Progress = lambda _fraction, _text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FinetunedRewardModel:
    """Train on the training side of `data`, with its card and a report on the hold-out.

    `heads` names the objectives, and `utility`, to train (None: whatever has labels or pairs). A `calibration_fraction`
    of the training side's groups is kept from training: there the objectives' calibrations are fitted, and the gain
    that makes differences of the utility log-odds, and the utility's level is its mean. Nothing but the report sees the
    hold-out. Raises what `train_lora_reward_model` does.
    """
    aside = calibration_rows(data, calibration_fraction, options.seed)
    examples = examples_of(for_training(data, aside, heads), loaded, recipe, flip_rates)
    trained = train_lora_reward_model(
        loaded, examples, options, checkpoints=checkpoints, progress=progress, should_stop=should_stop
    )
    model = FinetunedRewardModel.of(trained, recipe)
    logits = np.full((len(data.answers), len(model.objectives)), np.nan)
    rows = np.flatnonzero(aside | data.split.held_out)
    if len(rows):
        asked, given = [data.answers[i].messages for i in rows], [data.answers[i].text for i in rows]
        logits[rows] = model.raw(asked, given)[:, :, 0]
    chosen = _calibrations(data, model.objectives, logits, aside, options.seed)
    gain, level = 1.0, 0.0
    if aside.any() and model.objectives[-1] == UTILITY:
        gain = _utility_gain(data, logits[:, -1], aside, flip_rates)
        level = gain * float(logits[aside, -1].mean())
    calibrated = model.calibrated({name: found for name, (found, _) in chosen.items()}, level, gain)
    report = {
        "heads": _report(data, model.objectives, chosen, logits, options),
        "steps": len(trained.losses),
        "losses": list(trained.losses),
        "skipped_steps": trained.skipped,
        "calibration_answers": int(aside.sum()),
        "utility_gain": gain,
    }
    return calibrated.told(report=report, card=data.card)


def options_against_length(data: TrainingSet, options: FinetuneOptions) -> FinetuneOptions:
    """The same options with `length_slope` as the training pairs give it: what people's taste for length alone explains
    of their preferences is then no longer the model's to learn."""
    rows = data.pair_training
    lengths = log_lengths(data)[data.pairs[rows]]
    if not len(lengths):
        return options
    slope = preference_slope(lengths[:, 0] - lengths[:, 1], data.pair_weights[rows], data.pair_soft[rows])
    return dataclasses.replace(options, length_slope=slope)


def calibration_rows(data: TrainingSet, fraction: float, seed: int) -> Bools:
    """[N] True for a `fraction` of the training side's groups, drawn by `seed`; at least one stays for training."""
    groups = np.unique(data.split.groups[data.split.training])
    count = min(round(fraction * len(groups)), len(groups) - 1)
    drawn = np.random.default_rng([seed, 1 << 21]).permutation(groups)[: max(count, 0)]
    return np.asarray(data.split.training & np.isin(data.split.groups, drawn))


def for_training(data: TrainingSet, aside: Bools, heads: Collection[str] | None = None) -> TrainingSet:
    """The same rows with `aside` [N] taken from the training side, and without labels or pairs of other heads."""
    left_out = data.split.left_out | aside
    kept = np.array([heads is None or name in heads for name in data.objectives], bool)
    pairs_out = data.pair_left_out | (heads is not None and UTILITY not in heads)
    return dataclasses.replace(
        data,
        split=dataclasses.replace(data.split, left_out=left_out),
        targets=np.where(kept, data.targets, np.nan),
        pair_left_out=np.asarray(pairs_out),
    )


def _calibrations(
    data: TrainingSet, columns: tuple[str, ...], logits: Floats, aside: Bools, seed: int
) -> dict[str, tuple[Calibration, dict[str, float]]]:
    """Of each objective with labels of both kinds set aside, with the losses of the kinds tried; the others keep the
    plain sigmoid."""
    found = {}
    for place, name in enumerate(columns):
        if name == UTILITY:
            continue
        rows, targets, weights = _labelled(data, name, aside)
        if len(rows) and 0.0 < np.average(targets, weights=weights) < 1.0:
            groups = np.asarray(data.split.groups[rows], np.int64)
            choice = choose_calibration(logits[rows, place], targets, weights, groups=groups, seed=seed)
            found[name] = choice.calibration, dict(choice.losses)
    return found


def _utility_gain(data: TrainingSet, utilities: Floats, aside: Bools, flip_rates: Mapping[str, float] | float) -> float:
    """g > 0 with P(recorded) = (1 - e) s(g z) + e s(-g z) on the pairs set aside, z their margins: maximum likelihood
    with a log-normal prior (0, 1) on g, so that few pairs change little. 1 without pairs."""
    kept = np.asarray(aside[data.pairs].all(1))
    if not kept.any():
        return 1.0
    z = utilities[data.pairs[kept, 0]] - utilities[data.pairs[kept, 1]]
    weights, soft = data.pair_weights[kept], data.pair_soft[kept]
    sources = [source for source, here in zip(data.pair_sources, kept.tolist(), strict=True) if here]
    rates = np.array([flip_rates.get(s, 0.0) if isinstance(flip_rates, Mapping) else flip_rates for s in sources])

    def cost(log_gain: float) -> float:
        first = sigmoid(np.exp(log_gain) * z)
        recorded = np.clip((1.0 - rates) * first + rates * (1.0 - first), 1e-12, 1.0 - 1e-12)
        likelihood = soft * np.log(recorded) + (1.0 - soft) * np.log1p(-recorded)
        return float(0.5 * log_gain**2 - weights @ likelihood)

    return float(np.exp(minimize_scalar(cost, bounds=(-7.0, 3.0), method="bounded").x))


def _report(
    data: TrainingSet,
    columns: tuple[str, ...],
    calibrations: Mapping[str, tuple[Calibration, dict[str, float]]],
    logits: Floats,
    options: FinetuneOptions,
) -> dict[str, Any]:
    """Of the hold-out, by head: see `reward_model.report.objective_metrics`, and `_pair_report`."""
    found: dict[str, Any] = {}
    for place, name in enumerate(columns):
        if name == UTILITY:
            found[name] = _pair_report(data, logits[:, place], options)
            continue
        calibration, losses = calibrations.get(name, (Calibration(), {}))
        _, told, worth = _labelled(data, name, data.split.training)
        rows, targets, weights = _labelled(data, name, data.split.held_out)
        fit: dict[str, Any] = {"labels_trained": len(told), "base_rate": float(np.average(told, weights=worth))}
        fit |= {"calibration": calibration.kind, "calibration_losses": losses}
        lengths = log_lengths(data)[rows]
        probabilities = calibration.apply(logits[rows, place])
        found[name] = fit | objective_metrics(
            targets, probabilities, weights, lengths, float(fit["base_rate"]), options.seed
        )
    return found


def _pair_report(data: TrainingSet, utilities: Floats, options: FinetuneOptions) -> dict[str, Any]:
    """Accuracy on stated preferences of the hold-out, and how its utilities follow length."""
    stated = np.array([source != MATCHED for source in data.pair_sources], bool)
    kept, held = data.pair_held_out & stated, data.split.held_out
    pairs, lengths = data.pairs[kept], log_lengths(data)
    found: dict[str, Any] = {
        "loss": options.loss,
        "threshold": options.threshold,
        "pairs_trained": int(data.pair_training.sum()),
        "pairs_held_out": len(pairs),
    }
    if held.any():
        found["length_correlation"] = correlation(utilities[held], lengths[held])
        found["length"] = length_report(utilities[held], lengths[held], data.split.groups[held])
    if len(pairs):
        right = wins(utilities[pairs[:, 0]] - utilities[pairs[:, 1]])
        groups = np.asarray(data.split.groups[pairs[:, 0]], np.int64)
        interval = clustered_interval(right, groups, data.pair_weights[kept], resamples=_RESAMPLES, seed=options.seed)
        found["accuracy"] = dataclasses.asdict(interval)
    return found


def _labelled(data: TrainingSet, name: str, where: Bools) -> tuple[Ints, Floats, Floats]:
    """Rows with a label of some weight, their targets and weights."""
    k = data.objectives.index(name)
    rows = np.flatnonzero(where & ~np.isnan(data.targets[:, k]) & (data.weights[:, k] > 0))
    return rows, data.targets[rows, k], data.weights[rows, k]


def log_lengths(data: TrainingSet) -> Floats:
    """[N] log(1 + characters) of the answers."""
    return np.log1p([float(len(answer.text)) for answer in data.answers])
