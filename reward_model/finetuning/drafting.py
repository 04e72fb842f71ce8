"""The files of a fine-tuned version before it exists: adapter, heads and anchors, the utility on the old scale."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings, config_hash
from reward_model.anchors import AnchorRecord, Pin
from reward_model.data import TrainingSet
from reward_model.files import draft_of
from reward_model.finetuning.pipeline import FinetunedFitted
from reward_model.finetuning.saved import FinetunedManifest, FinetunedRewardModel, seal
from reward_model.held_out import Predictions
from reward_model.pinning import pin_to, read_record, write_record

Ints = NDArray[np.int64]


def write_finetuned_draft(
    settings: Settings,
    data: TrainingSet,
    fitted: FinetunedFitted,
    folder: Path,
    version: int,
    created_at: float,
    predecessor: Path | None,
) -> FinetunedManifest:
    """As `reward_model.drafting.write_draft`: everything but the evaluation, and the manifest so far."""
    names: dict[str, Any] = {"name": settings.reward_model.name, "version": version, "created_at": created_at}
    model = fitted.model.told(**names, config_hash=config_hash(settings), card=data.card)
    previous = None if predecessor is None else read_record(predecessor)
    pinned = pin_to(previous, data, _said(model, data, settings.reward_model.batch_size))
    fitted.report["anchors"] = pinned.document
    model = _mapped(model, pinned.pin)
    halves = []
    for half in model.halves:
        pin = Pin() if pinned.record is None else _half_pin(half, data, pinned.record, settings.reward_model.batch_size)
        halves.append(_mapped(half, pin).told(**names, card={}))  # the card is that of everybody
    model = replace(model, halves=tuple(halves))
    draft = draft_of(folder)
    model.write_draft(draft)
    if pinned.record is not None:
        write_record(draft, pinned.record)
        seal(draft, model.manifest)
    return model.manifest


def _mapped(model: FinetunedRewardModel, pin: Pin) -> FinetunedRewardModel:
    """The same model with its utility on another scale: u -> scale u + offset."""
    now = model.manifest
    return model.told(
        utility_gain=pin.scale * now.utility_gain,
        utility_scale=pin.scale * now.utility_scale,
        utility_offset=pin.scale * now.utility_offset - pin.offset,
    )


def _half_pin(half: FinetunedRewardModel, data: TrainingSet, record: AnchorRecord, batch_size: int) -> Pin:
    """To the scale of the full model of the same version; only the anchors are scored."""
    anchors = set(record.anchors.keys)
    rows = np.flatnonzero([answer.key in anchors for answer in data.answers])
    return pin_to(record, data, _said(half, data, batch_size, rows)).pin


def _said(model: FinetunedRewardModel, data: TrainingSet, batch_size: int, rows: Ints | None = None) -> Predictions:
    """What the model says of the answers `rows` (None: of every one), NaN of the others."""
    some = np.arange(len(data.answers)) if rows is None else rows
    asked, given = [data.answers[i].messages for i in some], [data.answers[i].text for i in some]
    values = np.full((len(data.answers), len(model.objectives)), np.nan)
    values[some] = model.score(model.scorer.base, asked, given, batch_size).values
    return Predictions({name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(model.objectives)})
