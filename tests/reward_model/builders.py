"""Rows, training sets and features for this room's tests."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from infra.contracts import Message
from reward_model.data import AnswerRow, LabelRow, PairRow, TrainingSet, build_training_set


def answer(number: int, *, prompt: str | None = None, conversation: str | None = None, **more: object) -> AnswerRow:
    """Answer `number`, created at second `number`, by default of its own conversation, prompt and person."""
    fields: dict[str, object] = {
        "response_id": f"r{number}",
        "choice": 0,
        "conversation_id": conversation or f"c{number}",
        "user_key": f"u{number}",
        "created_at": float(number),
        "messages": (Message("user", prompt if prompt is not None else f"prompt {number}"),),
        "text": f"answer {number}",
    }
    return AnswerRow(**{**fields, **more})  # type: ignore[arg-type]


def label(row: AnswerRow, made_at: float = 100.0, weight: float = 1.0, **values: float | None) -> LabelRow:
    return LabelRow(row.key, values, dict.fromkeys(values, weight), made_at)


def pair(number: int, preferred: AnswerRow, other: AnswerRow, **more: object) -> PairRow:
    fields: dict[str, object] = {"weight": 1.0, "source": "duel", "made_at": float(number), "user_key": f"v{number}"}
    return PairRow(f"p{number}", preferred.key, other.key, **{**fields, **more})  # type: ignore[arg-type]


def build(
    answers: Sequence[AnswerRow],
    labels: Sequence[LabelRow] = (),
    pairs: Sequence[PairRow] = (),
    objectives: Sequence[str] = ("love",),
    hold_out: float = 0.2,
    cap: float = 1000.0,
) -> TrainingSet:
    return build_training_set(answers, labels, pairs, objectives, hold_out_fraction=hold_out, per_person_weight=cap)


def simulated(
    count: int = 400, *, dimension: int = 12, flips: float = 0.0, strength: float = 3.0, seed: int = 0
) -> tuple[TrainingSet, Tensor, np.ndarray]:  # type: ignore[type-arg]
    """`count` prompts with two answers each: likes and duels follow one linear utility of the features, duels flipped
    with probability `flips`. Returns the training set, features [2 count, D] in its order, and the true utilities."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=dimension)
    direction *= strength / np.linalg.norm(direction)
    raw = rng.normal(size=(2 * count, dimension)) * 5.0 + 2.0
    utility = (raw - 2.0) / 5.0 @ direction
    answers = [
        answer(i, prompt=f"prompt {i // 2}", conversation=f"c{i // 2}", choice=i % 2, response_id=f"r{i // 2}")
        for i in range(2 * count)
    ]
    likes = rng.random(2 * count) < 1 / (1 + np.exp(-utility))
    labels = [label(row, love=float(like)) for row, like in zip(answers, likes, strict=True)]
    first = rng.random(count) < 1 / (1 + np.exp(utility[1::2] - utility[::2]))
    first ^= rng.random(count) < flips
    pairs = [
        pair(i, answers[2 * i], answers[2 * i + 1]) if won else pair(i, answers[2 * i + 1], answers[2 * i])
        for i, won in enumerate(first)
    ]
    data = build(answers, labels, pairs)
    order = [int(2 * int(row.response_id[1:]) + row.choice) for row in data.answers]
    return data, torch.from_numpy(raw[order]).float(), utility[order]
