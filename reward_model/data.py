"""Training sets: labelled answers and preferences, each once, weighed, split, halved, with a hash and a card. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward_model.age import age_weights
from reward_model.cards import Gone, content_hash, make_card
from reward_model.cleaning import InvalidTrainingRow, clean, judge_of, judges_of, with_margins
from reward_model.matched_pairs import MatchedOptions, compare_labels
from reward_model.new_people import PeopleOptions, PeopleSplit, hold_out_people
from reward_model.people_halves import SALT, half_of, halves
from reward_model.rows import AnswerRow, Key, LabelRow, PairRow
from reward_model.split import Split, hold_out_split, link_groups
from reward_model.weights import cap_by_person

__all__ = [
    "AnswerRow",
    "DataOptions",
    "Gone",
    "InvalidTrainingRow",
    "Key",
    "LabelRow",
    "PairRow",
    "TrainingSet",
    "build_training_set",
    "cap_by_person",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingSet:
    """What one training sees. N answers, K objectives, M pairs.

    targets [N, K] in [0, 1], NaN where the objective says nothing; weights [N, K] >= 0; pairs [M, 2] rows of `answers`,
    preferred first; pair_weights [M]. Of each pair: pair_soft [M] in [0.5, 1], the probability that the first is
    preferred (0.5: a tie); pair_margins [M] in [0, 1], by how much, 0 where nothing says so; pair_sources [M];
    pair_people [M], the judge or None. people [N]: whose opinion the label of an answer is (without a label: whose
    answer it is), or None. half [N], pair_half [M] in {0, 1}: disjoint halves of the people, each row in its judge's;
    half_mixed [N], pair_half_mixed [M]: several judges, not all in that half.

    `split`: groups [N] equal for answers that share a conversation, a prompt or a pair; held_out, left_out [N].
    held_out_person [N], pair_held_out_person [M]: held out, and its judges have nothing on the training side;
    pair_left_out [M]: not trained on although its answers may be, because of its judge. `content_hash` names the
    content, `card` counts it. Whatever is left out at construction gets its neutral value.
    """

    answers: tuple[AnswerRow, ...]
    objectives: tuple[str, ...]
    targets: Floats
    weights: Floats
    pairs: Ints
    pair_weights: Floats
    split: Split
    content_hash: str
    card: dict[str, Any] = field(default_factory=dict)
    pair_soft: Floats = field(default_factory=lambda: np.ones(0))
    pair_margins: Floats = field(default_factory=lambda: np.zeros(0))
    pair_sources: tuple[str, ...] = ()
    pair_people: tuple[str | None, ...] = ()
    people: tuple[str | None, ...] = ()
    half: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    pair_half: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    half_mixed: Bools = field(default_factory=lambda: np.zeros(0, bool))
    pair_half_mixed: Bools = field(default_factory=lambda: np.zeros(0, bool))
    held_out_person: Bools = field(default_factory=lambda: np.zeros(0, bool))
    pair_held_out_person: Bools = field(default_factory=lambda: np.zeros(0, bool))
    pair_left_out: Bools = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        count, pairs = len(self.answers), len(self.pairs)
        neutral: dict[str, tuple[int, Any]] = {
            "pair_soft": (pairs, np.ones(pairs)),
            "pair_margins": (pairs, np.zeros(pairs)),
            "pair_sources": (pairs, ("duel",) * pairs),
            "pair_people": (pairs, (None,) * pairs),
            "people": (count, tuple(answer.user_key for answer in self.answers)),
            "half": (count, np.zeros(count, np.int64)),
            "pair_half": (pairs, np.zeros(pairs, np.int64)),
            "half_mixed": (count, np.zeros(count, bool)),
            "pair_half_mixed": (pairs, np.zeros(pairs, bool)),
            "held_out_person": (count, np.zeros(count, bool)),
            "pair_held_out_person": (pairs, np.zeros(pairs, bool)),
            "pair_left_out": (pairs, np.zeros(pairs, bool)),
        }
        for name, (length, value) in neutral.items():
            given = len(getattr(self, name))
            if given not in (0, length):
                raise ValueError(f"{name} has {given} rows; give {length}, or none for its neutral value")
            if given != length:
                object.__setattr__(self, name, value)

    @property
    def pair_held_out(self) -> Bools:
        """[M] Both answers are held out: new conversations."""
        return np.asarray(self.split.held_out[self.pairs].all(1))

    @property
    def pair_training(self) -> Bools:
        """[M] Trained on."""
        return np.asarray(self.split.training[self.pairs].all(1) & ~self.pair_left_out)


@dataclass(frozen=True)
class DataOptions:
    """How opinions become a training set. The defaults add nothing and change nothing.

    `half_life_seconds` of an opinion, 0 for no ageing; `matched`: comparisons across arms and people, None for none;
    `new_people`: see `new_people`; `salt` of the people's halves; `trust` in [0, 1] by person, put into pairs.
    """

    half_life_seconds: float = 0.0
    matched: MatchedOptions | None = None
    new_people: PeopleOptions = field(default_factory=PeopleOptions)
    salt: str = SALT
    trust: Mapping[str, float] = field(default_factory=dict)
    prior_trust: float = 1.0


@dataclass(frozen=True)
class _Judged:
    """The opinions with their judges, in the order of the training set: answers [N] and pairs [M]. `times` [N]: when
    the label's opinion was given, as far as is known; NaN without a label."""

    rows: tuple[AnswerRow, ...]
    times: Floats
    people: tuple[str | None, ...]
    judges: tuple[tuple[str, ...], ...]
    labelled: Bools
    pairs: Sequence[PairRow]


def build_training_set(
    answers: Sequence[AnswerRow],
    labels: Sequence[LabelRow],
    pairs: Sequence[PairRow],
    objectives: Sequence[str],
    *,
    hold_out_fraction: float,
    per_person_weight: float,
    options: DataOptions | None = None,
    gone: Sequence[Gone] = (),
) -> TrainingSet:
    """Join, clean, compare, weigh, split and halve. What is left out is counted in the card, by reason; `gone` are the
    rows the store no longer has, named there. The order of the rows plays no part. Raises InvalidTrainingRow."""
    options = options or DataOptions()
    known = {answer.key: answer for answer in answers}
    cleaned = clean(known, labels, pairs, options.trust, options.prior_trust)
    kept = with_margins(known, cleaned.pairs, cleaned.labels)
    if options.matched is not None:
        kept += compare_labels(known, cleaned.labels, kept, options.matched, options.salt)
    kept.sort(key=lambda pair: pair.pair_id)
    judged = _judged(known, cleaned.labels, kept)
    index = {answer.key: i for i, answer in enumerate(judged.rows)}
    pair_index = np.array([[index[p.preferred], index[p.other]] for p in kept], np.int64).reshape(-1, 2)
    split = _split(judged.rows, pair_index, hold_out_fraction)
    judges = [pair.judges for pair in kept]
    by_person = hold_out_people(split, pair_index, judged.judges, judges, judged.labelled, options.new_people)
    targets, weights = _matrices(index, cleaned.labels, objectives)
    made = TrainingSet(
        answers=judged.rows,
        objectives=tuple(objectives),
        targets=targets,
        weights=_weighed(weights, judged, per_person_weight, options),
        pairs=pair_index,
        pair_weights=_pair_weights(judged, pair_index, per_person_weight, options),
        split=by_person.split,
        content_hash="",
        **_opinion_columns(judged, by_person, options.salt),
    )
    made = replace(made, content_hash=content_hash(made, [pair.pair_id for pair in kept]))
    return replace(made, card=make_card(made, cleaned.labels, cleaned.dropped, gone))


def _opinion_columns(judged: _Judged, by_person: PeopleSplit, salt: str) -> dict[str, Any]:
    """The columns of a training set that say whose the opinions are, and how they were given."""
    rows, pairs = judged.rows, judged.pairs
    conversations = [answer.conversation_id for answer in rows]
    of_answer = dict(zip((answer.key for answer in rows), conversations, strict=True))
    half = halves(judged.people, conversations, salt)
    pair_half = halves([p.user_key for p in pairs], [of_answer[p.preferred] for p in pairs], salt)

    def mixed(judges: Sequence[str], own: int) -> bool:
        return any(half_of(name, "", salt) != own for name in judges)

    return {
        "pair_soft": np.array([p.soft for p in pairs], np.float64),
        "pair_margins": np.array([p.margin for p in pairs], np.float64),
        "pair_sources": tuple(p.source for p in pairs),
        "pair_people": tuple(p.user_key for p in pairs),
        "people": judged.people,
        "half": half,
        "pair_half": pair_half,
        "half_mixed": np.array([mixed(*row) for row in zip(judged.judges, half.tolist(), strict=True)], bool),
        "pair_half_mixed": np.array(
            [mixed(p.judges, own) for p, own in zip(pairs, pair_half.tolist(), strict=True)], bool
        ),
        "held_out_person": by_person.answers_new,
        "pair_held_out_person": by_person.pairs_new,
        "pair_left_out": by_person.pairs_left_out,
    }


def _judged(known: Mapping[Key, AnswerRow], labels: Sequence[LabelRow], pairs: Sequence[PairRow]) -> _Judged:
    """The answers that opinions speak of, oldest first, and whose opinions these are."""
    label_of = {label.key: label for label in labels}
    used = label_of.keys() | {key for pair in pairs for key in (pair.preferred, pair.other)}
    rows = tuple(sorted((known[key] for key in used), key=lambda a: (a.created_at, a.key)))
    found = [label_of.get(answer.key) for answer in rows]
    pairs_of = list(zip(rows, found, strict=True))
    return _Judged(
        rows=rows,
        times=np.array([np.nan if label is None else min(a.created_at, label.made_at) for a, label in pairs_of], float),
        people=tuple(answer.user_key if label is None else judge_of(label, answer) for answer, label in pairs_of),
        judges=tuple(
            ((a.user_key,) if a.user_key else ()) if label is None else judges_of(label, a) for a, label in pairs_of
        ),
        labelled=np.array([label is not None for label in found], bool),
        pairs=pairs,
    )


def _split(rows: Sequence[AnswerRow], pair_index: Ints, fraction: float) -> Split:
    """Newest answers held out, by conversation and prompt; answers that share a pair stay on one side."""
    conversations, prompts = [a.conversation_id for a in rows], [a.prompt_key for a in rows]
    groups = link_groups(conversations, prompts, pair_index)
    created = np.array([a.created_at for a in rows], np.float64)
    return hold_out_split(conversations, prompts, groups, created, fraction)


def _weighed(weights: Floats, judged: _Judged, cap: float, options: DataOptions) -> Floats:
    """Weights [N, K] of labels, aged by their answers (a label made again late is no younger opinion, and an answer
    dated after its label, by some other clock, no newer one); then each objective's column capped by person."""
    aged = weights.copy()
    aged[judged.labelled] *= age_weights(judged.times[judged.labelled], options.half_life_seconds)[:, None]
    people = [name or f"\x00{answer.key}" for name, answer in zip(judged.people, judged.rows, strict=True)]
    return np.stack([cap_by_person(column, people, cap) for column in aged.T], 1) if aged.size else aged


def _pair_weights(judged: _Judged, pair_index: Ints, cap: float, options: DataOptions) -> Floats:
    """Weights [M] of pairs, aged by the newer answer, then capped by judge."""
    created = np.array([answer.created_at for answer in judged.rows], np.float64)
    given, made_at = np.array([(pair.weight, pair.made_at) for pair in judged.pairs], np.float64).reshape(-1, 2).T
    times = np.minimum(created[pair_index].max(1, initial=-np.inf), made_at)
    aged = given * age_weights(times, options.half_life_seconds)
    return cap_by_person(aged, [pair.user_key or f"\x00{pair.pair_id}" for pair in judged.pairs], cap)


def _matrices(index: Mapping[Key, int], labels: Sequence[LabelRow], objectives: Sequence[str]) -> tuple[Floats, Floats]:
    targets = np.full((len(index), len(objectives)), np.nan)
    weights = np.zeros((len(index), len(objectives)))
    for label in labels:
        for k, objective in enumerate(objectives):
            value = label.values.get(objective)
            weight = label.weights.get(objective, 1.0)
            if value is not None and weight > 0.0:
                targets[index[label.key], k], weights[index[label.key], k] = value, weight
    return targets, weights
