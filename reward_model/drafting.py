"""The files of a new version before it exists: heads, halves and anchors, the utility on its predecessor's scale."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from infra.settings import Settings
from reward_model.anchors import AnchorRecord, Pin
from reward_model.data import TrainingSet
from reward_model.files import HalfHeads, Manifest, draft_of, save_heads, seal
from reward_model.held_out import Predictions
from reward_model.pinning import pin_to, pinned_head, read_record, write_record
from reward_model.pipeline import Fitted, manifest_of
from reward_model.scoring import RewardModel


def write_draft(
    settings: Settings,
    data: TrainingSet,
    fitted: Fitted,
    folder: Path,
    version: int,
    created_at: float,
    predecessor: Path | None,
) -> Manifest:
    """Write everything but the evaluation into the draft of `folder`; returns the manifest so far.

    The utility is pinned to the scale of the version in `predecessor`, the halves' utilities to this one's.
    """
    draft = draft_of(folder)
    shutil.rmtree(draft, ignore_errors=True)
    tensors = fitted.tensors
    manifest = manifest_of(settings, data, fitted, version, created_at)
    save_heads(draft, tensors)
    seal(draft, manifest)
    loaded = RewardModel.load(draft)
    previous = None if predecessor is None else read_record(predecessor)
    pinned = pin_to(previous, data, _said(loaded, fitted.features))
    fitted.heads.report["anchors"] = pinned.document
    tensors = _mapped(tensors, "", manifest.objectives, pinned.pin)
    halves = []
    for half, own in enumerate(manifest.halves):
        pin = Pin() if pinned.record is None else _half_pin(loaded.half(half), fitted.features, data, pinned.record)
        tensors = _mapped(tensors, f"half{half}.", manifest.objectives, pin)
        halves.append(msgspec.structs.replace(own, utility_scale=pin.scale))
    manifest = msgspec.structs.replace(manifest, utility_scale=pinned.pin.scale, halves=tuple[HalfHeads, ...](halves))
    save_heads(draft, tensors)
    seal(draft, manifest)
    if pinned.record is not None:
        write_record(draft, pinned.record)
    return manifest


def _half_pin(half: RewardModel, features: Tensor, data: TrainingSet, record: AnchorRecord) -> Pin:
    return pin_to(record, data, _said(half, features)).pin


def _said(model: RewardModel, features: Tensor) -> Predictions:
    """What a model says of every answer."""
    values = model.score_hidden(features).values
    return Predictions({name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(model.objectives)})


def _mapped(tensors: dict[str, Tensor], prefix: str, objectives: tuple[str, ...], pin: Pin) -> dict[str, Tensor]:
    names = (f"{prefix}weights", f"{prefix}intercepts")
    weights, intercepts = pinned_head(tensors[names[0]], tensors[names[1]], objectives, pin)
    return {**tensors, names[0]: weights, names[1]: intercepts}
