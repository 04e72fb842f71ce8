"""What a training set is: its name by content, and the card that counts it. Pure."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from reward_model.weights import kish

if TYPE_CHECKING:
    from reward_model.data import TrainingSet
    from reward_model.rows import AnswerRow, Key, LabelRow

Array = NDArray[np.float64]
NAMED = 50
"""Rows that are gone are named in the card up to this number; the counts are of all."""


@dataclass(frozen=True, order=True)
class Gone:
    """A label that stood at the instant and cannot be had any more. `reason`: erased, expired or never arrived."""

    key: "Key"
    reason: str


def content_hash(made: "TrainingSet", pair_ids: Sequence[str]) -> str:
    """SHA-256, 64 hex digits, of everything a training sees: answers, labels, pairs, weights, sides, halves.

    Rows are in the order of the training set, which is one of their content. Numbers enter with every bit.
    """
    digest = hashlib.sha256(msgspec.json.encode(["training set", 2, list(made.objectives)]))
    for answer, person in zip(made.answers, made.people, strict=True):
        digest.update(
            msgspec.json.encode(
                [answer.key, answer.content_key, answer.conversation_id, person, answer.created_at, answer.adapter]
            )
        )
    for row in zip(pair_ids, made.pair_sources, made.pair_people, strict=True):
        digest.update(msgspec.json.encode(row))
    for numbers in (made.targets, made.weights, made.pair_weights, made.pair_soft, made.pair_margins):
        digest.update(np.ascontiguousarray(numbers + 0.0, "<f8").tobytes())
    for whole in (made.pairs, made.half, made.pair_half, made.split.held_out, made.split.left_out, made.pair_left_out):
        digest.update(np.ascontiguousarray(whole, "<i8").tobytes())
    return digest.hexdigest()


def make_card(
    made: "TrainingSet", labels: "Sequence[LabelRow]", dropped: Mapping[str, int], gone: Sequence[Gone] = ()
) -> dict[str, Any]:
    """Counts of `made`, which holds `labels`: JSON. `noise` is empty: whoever estimates it fills it in."""
    times = [answer.created_at for answer in made.answers]
    return {
        "content_hash": made.content_hash,
        "answers": len(made.answers),
        "answers_held_out": int(made.split.held_out.sum()),
        "answers_left_out": int(made.split.left_out.sum()),
        "answers_held_out_of_new_people": int(made.held_out_person.sum()),
        "groups": len(set(made.split.groups.tolist())),
        "people": len({a.user_key for a in made.answers if a.user_key}),
        "judges": len({name for name in (*made.people, *made.pair_people) if name}),
        "labels": len(labels),
        "labels_by_status": _counts(label.status for label in labels),
        "labels_by_specification": _counts(label.specification for label in labels),
        **_objectives(made),
        **_pairs(made),
        "answers_by_origin": _counts(a.origin for a in made.answers),
        "answers_by_adapter": _counts(a.adapter for a in made.answers),
        "segments": _segments(made),
        "halves": {
            "answers": np.bincount(made.half, minlength=2).tolist(),
            "pairs": np.bincount(made.pair_half, minlength=2).tolist(),
            "answers_mixed": int(made.half_mixed.sum()),
            "pairs_mixed": int(made.pair_half_mixed.sum()),
        },
        "first_answer_at": min(times, default=None),
        "last_answer_at": max(times, default=None),
        "held_out_since": made.split.since,
        "noise": {},
        "dropped": dict(sorted(dropped.items())),
        "gone": _gone(gone),
    }


def _objectives(made: "TrainingSet") -> dict[str, Any]:
    """By objective: labels, positive mass, weighted share of positives, weight, effective sample size."""
    found: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(made.objectives):
        present = ~np.isnan(made.targets[:, k])
        targets, weights = made.targets[present, k], made.weights[present, k]
        found[name] = {
            "labels": int(present.sum()),
            "held_out": int((present & made.split.held_out).sum()),
            "held_out_of_new_people": int((present & made.held_out_person).sum()),
            "positive": round(float(targets.sum()), 3),
            "positive_share": round(float(targets @ weights / weights.sum()), 6) if weights.sum() > 0 else None,
            "weight": round(float(weights.sum()), 3),
            "effective": round(kish(weights), 1),
        }
    return {
        "labels_by_objective": {name: counts["labels"] for name, counts in found.items()},
        "positive_by_objective": {name: counts["positive"] for name, counts in found.items()},
        "objectives": found,
    }


def _pairs(made: "TrainingSet") -> dict[str, Any]:
    by_source = {}
    sources = np.array(made.pair_sources, object)
    for source in sorted(set(made.pair_sources)):
        rows = sources == source
        by_source[source] = {
            "pairs": int(rows.sum()),
            "weight": round(float(made.pair_weights[rows].sum()), 3),
            "effective": round(kish(made.pair_weights[rows]), 1),
            "people": len({p for p, row in zip(made.pair_people, rows, strict=True) if row and p}),
            "soft": int(((made.pair_soft < 1.0) & rows).sum()),
            "ties": int(((made.pair_soft == 0.5) & rows).sum()),
            "with_margin": int(((made.pair_margins > 0.0) & rows).sum()),
        }
    return {
        "pairs": len(made.pairs),
        "pairs_by_source": {source: counts["pairs"] for source, counts in by_source.items()},
        "pairs_held_out": int(made.pair_held_out.sum()),
        "pairs_held_out_of_new_people": int(made.pair_held_out_person.sum()),
        "pairs_effective": round(kish(made.pair_weights), 1),
        "pair_sources": by_source,
    }


def _segments(made: "TrainingSet") -> dict[str, dict[str, dict[str, Any]]]:
    """Labels and positive mass by objective in each segment of the answers: adapter, arm, origin, turn."""
    kinds = {
        "adapter": [a.adapter for a in made.answers],
        "arm": [f"{a.experiment}:{a.arm}" if a.arm else "none" for a in made.answers],
        "origin": [a.origin for a in made.answers],
        "turn": [_turn(a) for a in made.answers],
    }
    present = ~np.isnan(made.targets)
    return {
        kind: {name: _segment(made, present, np.array(names) == name) for name in sorted(set(names))}
        for kind, names in kinds.items()
    }


def _segment(made: "TrainingSet", present: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "answers": int(rows.sum()),
        "labels": {name: int((present[:, k] & rows).sum()) for k, name in enumerate(made.objectives)},
        "positive": {name: round(float(np.nansum(made.targets[rows, k])), 3) for k, name in enumerate(made.objectives)},
    }


def _turn(answer: "AnswerRow") -> str:
    """Which question of the conversation it answers: first, second, third or later."""
    asked = sum(message.role == "user" for message in answer.messages)
    return {0: "none", 1: "first", 2: "second", 3: "third"}.get(asked, "later")


def _gone(gone: Sequence[Gone]) -> dict[str, Any]:
    ordered = sorted(gone)
    return {
        "labels": len(ordered),
        "by_reason": _counts(one.reason for one in ordered),
        "named": [[one.key[0], one.key[1], one.reason] for one in ordered[:NAMED]],
    }


def _counts(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
