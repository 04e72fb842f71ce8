"""Training sets: labelled answers and preference pairs, deduplicated, with a hold-out, a hash and a card. Pure."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.contracts import Message
from infra.contracts.content import content_key
from reward_model.split import Split, hold_out_split, link_groups

Key = tuple[str, int]
"""An answer: (response_id, choice)."""


@dataclass(frozen=True)
class AnswerRow:
    """One answer as the store has it, with the conversation before it. `origin` is gateway or imported."""

    response_id: str
    choice: int
    conversation_id: str
    user_key: str | None
    created_at: float
    messages: tuple[Message, ...]
    text: str
    adapter: str = "base"
    origin: str = "gateway"

    @property
    def key(self) -> Key:
        return self.response_id, self.choice

    @property
    def prompt_key(self) -> str:
        """Equal for equal prompts: everything people have said so far, case and spacing aside. Answers are left out,
        so that the same questions with other answers between them count as one prompt."""
        said = [" ".join(m.content.lower().split()) for m in self.messages if m.role == "user"]
        return hashlib.blake2b("\x1f".join(said).encode(), digest_size=16).hexdigest()

    @property
    def content_key(self) -> str:
        """Equal for equal prompt and answer, letter by letter."""
        return content_key(self.messages, self.text)


@dataclass(frozen=True)
class LabelRow:
    """The newest label of one answer. `values[objective]` in [0, 1] or None; `weights[objective]` >= 0."""

    key: Key
    values: dict[str, float | None]
    weights: dict[str, float]
    made_at: float
    status: str = "final"


@dataclass(frozen=True)
class PairRow:
    """A preference between two answers. `source` is regenerate, edit or duel."""

    pair_id: str
    preferred: Key
    other: Key
    weight: float
    source: str
    made_at: float
    user_key: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """What one training sees. N answers, K objectives, M pairs.

    targets [N, K] in [0, 1], NaN where the objective says nothing; weights [N, K] >= 0; pairs [M, 2] rows of `answers`,
    preferred first; pair_weights [M]; groups [N] equal for answers that share a conversation, a prompt or a pair;
    held_out [N], left_out [N] (neither side: see `split`); pair_held_out, pair_left_out [M]. `content_hash` names the
    content, `card` counts it.
    """

    answers: tuple[AnswerRow, ...]
    objectives: tuple[str, ...]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]
    pairs: NDArray[np.int64]
    pair_weights: NDArray[np.float64]
    split: Split
    content_hash: str
    card: dict[str, object] = field(default_factory=dict)

    @property
    def pair_held_out(self) -> NDArray[np.bool_]:
        return np.asarray(self.split.held_out[self.pairs].all(1))

    @property
    def pair_training(self) -> NDArray[np.bool_]:
        return np.asarray(self.split.training[self.pairs].all(1))


def build_training_set(
    answers: Sequence[AnswerRow],
    labels: Sequence[LabelRow],
    pairs: Sequence[PairRow],
    objectives: Sequence[str],
    *,
    hold_out_fraction: float,
    per_person_weight: float,
) -> TrainingSet:
    """Join, clean, weigh and split. Labels and pairs whose answers are unknown are left out and counted in the card."""
    known = {answer.key: answer for answer in answers}
    labels_found = [label for label in labels if label.key in known]
    pairs_found = [pair for pair in pairs if pair.preferred in known and pair.other in known]
    kept_labels, kept_pairs = _without_repeats(known, labels_found), _without_repeated_pairs(known, pairs_found)
    rows = _rows(known, kept_labels, kept_pairs)
    index = {answer.key: i for i, answer in enumerate(rows)}
    targets, weights = _matrices(index, kept_labels, objectives)
    pair_index = np.array([[index[p.preferred], index[p.other]] for p in kept_pairs], np.int64).reshape(-1, 2)
    split = _split(rows, pair_index, hold_out_fraction)
    people = [a.user_key or f"\x00{a.response_id}" for a in rows]
    voters = [p.user_key or f"\x00{p.pair_id}" for p in kept_pairs]
    pair_weights = np.array([p.weight for p in kept_pairs], np.float64)
    made = TrainingSet(
        answers=rows,
        objectives=tuple(objectives),
        targets=targets,
        weights=_capped(weights, people, per_person_weight),
        pairs=pair_index,
        pair_weights=cap_by_person(pair_weights, voters, per_person_weight),
        split=split,
        content_hash=_content_hash(rows, kept_labels, kept_pairs),
    )
    dropped = {
        "labels_without_interaction": len(labels) - len(labels_found),
        "pairs_without_interaction": len(pairs) - len(pairs_found),
        "repeated_labels": len(labels_found) - len(kept_labels),
        "repeated_or_empty_pairs": len(pairs_found) - len(kept_pairs),
    }
    return replace(made, card=_card(made, kept_labels, kept_pairs, dropped))


def _split(rows: Sequence[AnswerRow], pair_index: NDArray[np.int64], fraction: float) -> Split:
    """Newest answers held out, by conversation and prompt; answers that share a pair stay on one side."""
    conversations, prompts = [a.conversation_id for a in rows], [a.prompt_key for a in rows]
    groups = link_groups(conversations, prompts, pair_index)
    created = np.array([a.created_at for a in rows], np.float64)
    return hold_out_split(conversations, prompts, groups, created, fraction)


def cap_by_person(weights: NDArray[np.float64], people: Sequence[str], cap: float) -> NDArray[np.float64]:
    """Scale each person's weights down so that they sum to at most `cap`; those below keep theirs.

    Few people vote a lot, and a bot votes most: a cap bounds what any one of them can teach.
    """
    if not len(weights):
        return weights
    _, index = np.unique(np.asarray(people), return_inverse=True)
    totals = np.bincount(index, weights)
    return np.asarray(weights * np.minimum(1.0, cap / np.maximum(totals, 1e-12))[index])


def _capped(weights: NDArray[np.float64], people: Sequence[str], cap: float) -> NDArray[np.float64]:
    """Each objective's column capped on its own."""
    capped = weights.copy()
    for k in range(weights.shape[1]):
        capped[:, k] = cap_by_person(weights[:, k], people, cap)
    return capped


def _without_repeats(known: dict[Key, AnswerRow], labels: Sequence[LabelRow]) -> list[LabelRow]:
    """One label for each person, prompt and answer text: the newest. Without a person every answer stands alone."""
    newest: dict[tuple[str, str], LabelRow] = {}
    for label in sorted(labels, key=lambda row: (row.made_at, row.key)):
        answer = known[label.key]
        person = answer.user_key or f"\x00{answer.response_id}"
        newest[person, answer.content_key] = label
    return sorted(newest.values(), key=lambda row: row.key)


def _without_repeated_pairs(known: dict[Key, AnswerRow], pairs: Sequence[PairRow]) -> list[PairRow]:
    """One preference for each person and two answer texts, in either order: the newest. Equal texts say nothing."""
    newest: dict[tuple[str, str, str], PairRow] = {}
    for pair in sorted(pairs, key=lambda row: (row.made_at, row.pair_id)):
        one, two = known[pair.preferred].content_key, known[pair.other].content_key
        if one != two:
            first, second = sorted((one, two))
            newest[pair.user_key or f"\x00{pair.pair_id}", first, second] = pair
    return sorted(newest.values(), key=lambda row: row.pair_id)


def _rows(known: dict[Key, AnswerRow], labels: Sequence[LabelRow], pairs: Sequence[PairRow]) -> tuple[AnswerRow, ...]:
    used = {label.key for label in labels} | {key for p in pairs for key in (p.preferred, p.other)}
    return tuple(sorted((known[key] for key in used), key=lambda a: (a.created_at, a.key)))


def _matrices(
    index: dict[Key, int], labels: Sequence[LabelRow], objectives: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    targets = np.full((len(index), len(objectives)), np.nan)
    weights = np.zeros((len(index), len(objectives)))
    for label in labels:
        for k, objective in enumerate(objectives):
            value = label.values.get(objective)
            weight = label.weights.get(objective, 1.0)
            if value is not None and weight > 0.0:
                targets[index[label.key], k], weights[index[label.key], k] = value, weight
    return targets, weights


def _content_hash(rows: Sequence[AnswerRow], labels: Sequence[LabelRow], pairs: Sequence[PairRow]) -> str:
    digest = hashlib.sha256()
    for answer in sorted(rows, key=lambda a: a.key):
        digest.update(msgspec.json.encode([answer.key, answer.content_key]))
    for label in labels:
        digest.update(msgspec.json.encode([label.key, sorted(label.values.items()), sorted(label.weights.items())]))
    for pair in pairs:
        digest.update(msgspec.json.encode([pair.pair_id, pair.preferred, pair.other, pair.weight]))
    return digest.hexdigest()


def _card(
    made: TrainingSet, labels: Sequence[LabelRow], pairs: Sequence[PairRow], dropped: dict[str, int]
) -> dict[str, object]:
    present = ~np.isnan(made.targets)
    times = [answer.created_at for answer in made.answers]
    return {
        "content_hash": made.content_hash,
        "answers": len(made.answers),
        "answers_held_out": int(made.split.held_out.sum()),
        "answers_left_out": int(made.split.left_out.sum()),
        "groups": len(set(made.split.groups.tolist())),
        "people": len({a.user_key for a in made.answers if a.user_key}),
        "labels": len(labels),
        "labels_by_objective": {name: int(present[:, k].sum()) for k, name in enumerate(made.objectives)},
        "positive_by_objective": {
            name: round(float(np.nansum(made.targets[:, k])), 3) for k, name in enumerate(made.objectives)
        },
        "pairs": len(pairs),
        "pairs_by_source": dict(sorted(Counter(pair.source for pair in pairs).items())),
        "answers_by_origin": dict(sorted(Counter(a.origin for a in made.answers).items())),
        "answers_by_adapter": dict(sorted(Counter(a.adapter for a in made.answers).items())),
        "first_answer_at": min(times, default=None),
        "last_answer_at": max(times, default=None),
        "held_out_since": made.split.since,
        "dropped": dropped,
    }
