"""The fine-tuned part of a training: after frozen heads, which say how noisy the records are and stand beside it."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra.settings import Settings
from reward_model.crossfit import of_half
from reward_model.data import TrainingSet
from reward_model.evaluation import clustered_interval, wins
from reward_model.features import Progress, TrainingStopped
from reward_model.finetuning.checkpoint import CheckpointDamaged, CheckpointRefused
from reward_model.finetuning.fitting import fit_finetuned, log_lengths, options_against_length
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import UTILITY, Checkpoints
from reward_model.matched_pairs import MATCHED
from reward_model.pipeline import Fitted, recipe_of

log = logging.getLogger(__name__)

CHECKPOINT_FILE = ".finetuning.checkpoint"
_TRAINED_SHARE = 0.8
_CHUNK = 256


@dataclass(frozen=True)
class FinetunedFitted(Fitted):
    """Frozen heads, and the `model` that was fine-tuned after them; `document` is the training's report."""

    model: FinetunedRewardModel
    document: dict[str, Any]

    @property
    def report(self) -> dict[str, Any]:
        return self.document


def finetune(
    settings: Settings,
    data: TrainingSet,
    frozen: Fitted,
    folder: Path,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> FinetunedFitted:
    """Fine-tune the heads that `frozen` could fit, with the flip rates it estimated, and score every answer; where
    `frozen` has models of halves of the people, one adapter more for each half, on that half's opinions alone.

    Checkpoints stand in `folder`, one a model, and are gone on from after a kill. Raises TrainingStopped;
    CheckpointDamaged once, after which the next training begins anew; CheckpointNotWritten.
    """
    parts = [(data, frozen, CHECKPOINT_FILE), *_half_parts(data, frozen)]
    models = []
    for number, (some, heads, file) in enumerate(parts):

        def told(share: float, text: str, done: int = number, what: str = _name(file)) -> None:
            progress(_TRAINED_SHARE * (done + share) / len(parts), text + what)

        models.append(_tuned(settings, some, heads, folder / file, told, should_stop))
    full = replace(models[0], halves=tuple(models[1:]))
    _score_everything(full, data, settings.reward_model.batch_size, progress, should_stop)
    return FinetunedFitted(
        frozen.loaded, frozen.features, frozen.heads, frozen.halves, full, _document(data, frozen, full)
    )


def _half_parts(data: TrainingSet, frozen: Fitted) -> list[tuple[TrainingSet, Fitted, str]]:
    """What each half of the people is fine-tuned on and with: its opinions, and the noise estimated from them alone."""
    if isinstance(frozen.halves, str):
        return []
    return [
        (of_half(data, half), replace(frozen, heads=heads, halves="one half"), f"{CHECKPOINT_FILE}.half{half}")
        for half, heads in enumerate(frozen.halves)
    ]


def _name(checkpoint: str) -> str:
    """What progress adds about a half's training."""
    _, _, half = checkpoint.partition(".half")
    return f", half {half} of the people" if half else ""


def _tuned(
    settings: Settings,
    data: TrainingSet,
    frozen: Fitted,
    checkpoint: Path,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> FinetunedRewardModel:
    """One model, from its checkpoint on where there is one."""
    wanted = settings.reward_model
    checkpoints = Checkpoints(checkpoint, wanted.finetuning.checkpoint_steps)

    def train() -> FinetunedRewardModel:
        return fit_finetuned(
            frozen.loaded,
            data,
            recipe_of(settings, frozen.loaded),
            finetune_options(settings, data, frozen),
            flip_rates=flip_rates(data, frozen),
            calibration_fraction=wanted.finetuning.calibration_fraction,
            heads=frozen.heads.objectives,
            checkpoints=checkpoints,
            progress=progress,
            should_stop=should_stop,
        )

    return _past_leftovers(train, checkpoints.path).told(flip_rate=frozen.heads.flip_rate)


def _past_leftovers(train: Callable[[], FinetunedRewardModel], path: Path) -> FinetunedRewardModel:
    """Train, over the checkpoint of another training. A damaged one is said, and set aside for the next run."""
    try:
        return train()
    except CheckpointDamaged as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        raise CheckpointDamaged(
            f"the checkpoint {path} is damaged: it was set aside as {aside.name}, nothing else was changed; run "
            "`plaudit reward-model train` again to fine-tune from the start"
        ) from error
    except CheckpointRefused as error:
        log.warning("reward model: %s; it is deleted, the fine-tuning begins at its start", error)
        path.unlink()
        return train()


def finetune_options(settings: Settings, data: TrainingSet, frozen: Fitted) -> FinetuneOptions:
    """What the settings ask for, with the steps that this training set needs and the threshold the frozen utility head
    was validated with."""
    wanted, tuning = settings.reward_model, settings.reward_model.finetuning
    share = 1.0 - tuning.calibration_fraction
    in_pairs = np.unique(data.pairs[data.pair_training])
    labelled = (~np.isnan(data.targets)).any(1) & data.split.training
    labelled[in_pairs] = False
    units = share * (int(data.pair_training.sum()) + int(labelled.sum()))
    steps = min(tuning.max_steps, max(1, math.ceil(tuning.epochs * units / tuning.batch)))
    utility = frozen.heads.report["heads"].get(UTILITY, {})
    options = FinetuneOptions(
        rank=tuning.rank,
        alpha=tuning.alpha,
        loss=wanted.loss,
        threshold=float(utility.get("threshold", max(wanted.thresholds))),
        learning_rate=tuning.learning_rate,
        steps=steps,
        warmup=round(tuning.warmup_share * steps),
        batch=tuning.batch,
        micro_tokens=tuning.micro_tokens,
        ensemble=tuning.ensemble,
        label_weight=tuning.label_weight,
        centring=tuning.centring,
        seed=wanted.seed,
    )
    return options_against_length(data, options) if wanted.utility_length == "removed" else options


def flip_rates(data: TrainingSet, frozen: Fitted) -> dict[str, float]:
    """The residual flip rate of each source as the frozen heads' training estimated it; the overall one where a source
    has none of its own."""
    utility = frozen.heads.report["heads"].get(UTILITY, {})
    by_source = utility.get("flip_rate_by_source", {})
    return {
        source: float(by_source[source]["estimate"]) if source in by_source else frozen.heads.flip_rate
        for source in dict.fromkeys(data.pair_sources)
    }


def _cross_fit(frozen: Fitted, model: FinetunedRewardModel) -> dict[str, Any]:
    """What the report says about the halves, as `reward_model.crossfit.document`."""
    if isinstance(frozen.halves, str):
        return {"absent": frozen.halves}
    return {"halves": [{"heads": half.manifest.report["heads"]} for half in model.halves]}


def forget(folder: Path) -> None:
    """Remove the checkpoints of a training that is over."""
    for path in folder.glob(f"{CHECKPOINT_FILE}*"):
        path.unlink(missing_ok=True)


def _score_everything(
    model: FinetunedRewardModel, data: TrainingSet, batch_size: int, progress: Progress, should_stop: Callable[[], bool]
) -> None:
    """Fill the model's cache: anchors, evaluation and the test against the champion ask for every answer."""
    count = len(data.answers)
    for start in range(0, count, _CHUNK):
        if should_stop():
            raise TrainingStopped("stopped while scoring; the trained weights are kept in the checkpoint")
        share = _TRAINED_SHARE + (1.0 - _TRAINED_SHARE) * start / count
        progress(share, f"scoring {count} answers with the fine-tuned model")
        rows = data.answers[start : start + _CHUNK]
        model.raw([row.messages for row in rows], [row.text for row in rows], batch_size)


def _document(data: TrainingSet, frozen: Fitted, model: FinetunedRewardModel) -> dict[str, Any]:
    """The report: the fine-tuned heads' numbers, and the frozen ones' on the same hold-out under `frozen`."""
    before = frozen.heads.report
    heads = {name: dict(found) for name, found in model.manifest.report["heads"].items()}
    if UTILITY in heads:
        utility = before["heads"][UTILITY]
        heads[UTILITY] |= {name: utility[name] for name in ("flip_rate", "flip_rate_interval", "flip_rate_by_source")}
        heads[UTILITY] |= _beside_frozen(data, frozen, model)
    training = {name: value for name, value in model.manifest.report.items() if name != "heads"}
    return {
        "heads": heads,
        "absent": before["absent"],
        "settings": before["settings"],
        "finetuning": training,
        "frozen": {"heads": before["heads"]},
        "cross_fit": _cross_fit(frozen, model),
    }


def _beside_frozen(data: TrainingSet, frozen: Fitted, model: FinetunedRewardModel) -> dict[str, Any]:
    """Accuracy of the frozen utility head on the same stated pairs, and what fine-tuning gains over it."""
    stated = np.array([source != MATCHED for source in data.pair_sources], bool)
    kept = data.pair_held_out & stated
    pairs = data.pairs[kept]
    if not len(pairs):
        return {}
    place, row = model.objectives.index(UTILITY), frozen.heads.objectives.index(UTILITY)
    tuned = model.raw([a.messages for a in data.answers], [a.text for a in data.answers])[:, place, 0]
    standard = frozen.heads.subspace.standardizer.apply(frozen.features)
    plain = (standard @ frozen.heads.tensors["weights"][row, 0]).to(torch.float64).numpy()
    right = [wins(values[pairs[:, 0]] - values[pairs[:, 1]]) for values in (tuned, plain)]
    groups, weights = np.asarray(data.split.groups[pairs[:, 0]], np.int64), data.pair_weights[kept]
    found = {"accuracy_frozen": right[1], "gain_over_frozen": right[0] - right[1]}
    lengths = log_lengths(data)
    longer = wins(lengths[pairs[:, 0]] - lengths[pairs[:, 1]])
    return {
        name: vars(clustered_interval(values, groups, weights, resamples=500, seed=0)) for name, values in found.items()
    } | {"accuracy_of_longer": float(np.average(longer, weights=weights))}
