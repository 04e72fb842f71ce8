"""A new version's utility on the scale of the version before it, by the anchors both have scored."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import Tensor

from infra.contracts import PlauditError
from reward_model.anchors import (
    AnchorRecord,
    AnchorSet,
    Drift,
    Pin,
    UnusableAnchors,
    choose_anchors,
    compare,
    record_of,
    surviving,
)
from reward_model.data import Key, TrainingSet
from reward_model.held_out import UTILITY, Predictions

log = logging.getLogger(__name__)

ANCHORS_FILE = "anchors.json"


@dataclass(frozen=True)
class Pinned:
    """How a version stands to the one before it: `pin` of its utility, `record` to save with it (None with too few
    answers for anchors), and what the report says."""

    pin: Pin
    record: AnchorRecord | None
    document: dict[str, Any]


def pin_to(previous: AnchorRecord | None, data: TrainingSet, said: Predictions) -> Pinned:
    """Pin the utility that `said` [N] of the answers of `data` to the scale of `previous`, on the anchors that are
    still among them. Where that is impossible the scale stays as it was fitted, new anchors are chosen, and the
    document says why."""
    content = {answer.key: answer.content_key for answer in data.answers}
    place = {answer.key: row for row, answer in enumerate(data.answers)}
    pin, moved, reason = Pin(), dict[str, Drift](), "the first version: its own scale stands"
    if previous is not None:
        try:
            kept = surviving(previous, content)
            rows = np.array([place[previous.anchors.keys[index]] for index in kept], np.int64)
            pin, moved = compare(previous, kept, {head: values[rows] for head, values in said.values.items()})
            reason = ""
        except UnusableAnchors as error:
            reason = str(error)
    anchors = _anchors(previous if not reason else None, content)
    record = None if anchors is None else record_of(anchors, _scores(said, place, anchors, pin))
    document = {
        "scale": pin.scale,
        "offset": pin.offset,
        "anchors": 0 if anchors is None else len(anchors.keys),
        "drift": {head: asdict(one) | {"steady": one.steady} for head, one in moved.items()},
    }
    return Pinned(pin, record, document | ({"reason": reason} if reason else {}))


def pinned_head(weights: Tensor, intercepts: Tensor, objectives: tuple[str, ...], pin: Pin) -> tuple[Tensor, Tensor]:
    """weights [K, 1 + E, D] and intercepts [K, 1 + E] with the utility's row mapped: u -> scale u + offset."""
    if UTILITY not in objectives:
        return weights, intercepts
    row = objectives.index(UTILITY)
    weights, intercepts = weights.clone(), intercepts.clone()
    weights[row] *= pin.scale
    intercepts[row] = pin.scale * intercepts[row] + pin.offset
    return weights, intercepts


def write_record(folder: Path, record: AnchorRecord) -> None:
    """Save the anchors of a version beside its heads."""
    (folder / ANCHORS_FILE).write_bytes(msgspec.json.encode(record))


def read_record(folder: Path) -> AnchorRecord | None:
    """The anchors of a version; None for one that has none, or whose file cannot be read."""
    try:
        return msgspec.json.decode((folder / ANCHORS_FILE).read_bytes(), type=AnchorRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("reward model: %s cannot be read (%s): new anchors are chosen", folder / ANCHORS_FILE, error)
        return None


def _anchors(previous: AnchorRecord | None, content: dict[Key, str]) -> AnchorSet | None:
    """The surviving anchors, for as long as they are enough; then a new set."""
    try:
        if previous is not None:
            kept = surviving(previous, content)
            return AnchorSet.of({previous.anchors.keys[i]: previous.anchors.content_keys[i] for i in kept})
        return choose_anchors(content)
    except PlauditError:
        return None


def _scores(
    said: Predictions, place: dict[Key, int], anchors: AnchorSet, pin: Pin
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    rows = np.array([place[key] for key in anchors.keys], np.int64)
    return {head: pin.apply(values[rows]) if head == UTILITY else values[rows] for head, values in said.values.items()}
