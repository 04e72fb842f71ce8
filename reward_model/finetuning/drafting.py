"""The files of a fine-tuned version before it exists: adapter, heads and anchors, the utility on the old scale."""

from pathlib import Path

import numpy as np

from infra.settings import Settings, config_hash
from reward_model.data import TrainingSet
from reward_model.files import draft_of
from reward_model.finetuning.pipeline import FinetunedFitted
from reward_model.finetuning.saved import FinetunedManifest, FinetunedRewardModel, seal
from reward_model.held_out import Predictions
from reward_model.pinning import pin_to, read_record, write_record


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
    model = fitted.model.told(
        name=settings.reward_model.name,
        version=version,
        created_at=created_at,
        config_hash=config_hash(settings),
        card=data.card,
    )
    previous = None if predecessor is None else read_record(predecessor)
    pinned = pin_to(previous, data, _said(model, data, settings.reward_model.batch_size))
    fitted.report["anchors"] = pinned.document
    scale, now = pinned.pin.scale, model.manifest
    model = model.told(
        utility_gain=scale * now.utility_gain,
        utility_scale=scale * now.utility_scale,
        utility_offset=scale * now.utility_offset - pinned.pin.offset,
    )
    draft = draft_of(folder)
    model.write_draft(draft)
    if pinned.record is not None:
        write_record(draft, pinned.record)
        seal(draft, model.manifest)
    return model.manifest


def _said(model: FinetunedRewardModel, data: TrainingSet, batch_size: int) -> Predictions:
    """What the model says of every answer."""
    asked, given = [answer.messages for answer in data.answers], [answer.text for answer in data.answers]
    values = model.score(model.scorer.base, asked, given, batch_size).values
    return Predictions({name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(model.objectives)})
