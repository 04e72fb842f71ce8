"""Held out by person as well: which held-out opinions are by people nobody learned from. Pure.

The chronological hold-out is of new conversations, most of them by people whose earlier votes are trained on. How a
model does on *new people* is another question. People who are new anyway answer it first; where they are too few, some
more become new by leaving out what they said before: a bounded share of the training side.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reward_model.split import Split

Bools = NDArray[np.bool_]
SALT = "new-people"


@dataclass(frozen=True)
class PeopleOptions:
    """`fraction`: share of the held-out opinions that should be by new people, if need be by leaving out training
    opinions; `most_left_out`: largest share of the training opinions that may go for it. (0, 0): nothing goes."""

    fraction: float = 0.0
    most_left_out: float = 0.0


@dataclass(frozen=True)
class PeopleSplit:
    """`split` with what was left out added; `people`: whose training opinions were left out. Opinions are the N answers
    (`answers_new` [N]: held out, its judges known and none of them trained on) and M pairs (`pairs_new` [M] likewise;
    `pairs_left_out` [M]: on neither side, because of its judge)."""

    split: Split
    people: frozenset[str]
    answers_new: Bools
    pairs_new: Bools
    pairs_left_out: Bools


def hold_out_people(
    split: Split,
    pairs: NDArray[np.int64],
    answer_judges: Sequence[tuple[str, ...]],
    pair_judges: Sequence[tuple[str, ...]],
    labelled: Bools,
    options: PeopleOptions,
) -> PeopleSplit:
    """Split by person within `split` of N answers and `pairs` [M, 2].

    `answer_judges` [N] and `pair_judges` [M]: the people behind each opinion, () where unknown, which is never new.
    `labelled` [N]: answers that carry an opinion themselves; the others only stand in pairs. People are taken in the
    order of a stable hash, those skipped whose training opinions would exceed the bound.
    """
    judges = [*answer_judges, *pair_judges]
    of_pairs = (split.training[pairs].all(1), split.held_out[pairs].all(1))
    training = np.concatenate([split.training & labelled, of_pairs[0]])
    held = np.concatenate([split.held_out & labelled, of_pairs[1]])
    people = _newcomers(judges, training, held, options)
    out = np.array([bool(people.intersection(some)) for some in judges], bool)
    count = len(answer_judges)
    seen = {name for some, used in zip(judges, training & ~out, strict=True) if used for name in some}
    strange = np.array([bool(some) and not seen.intersection(some) for some in judges], bool)
    left_out = split.left_out | (out[:count] & split.training & labelled)
    return PeopleSplit(
        split=replace(split, left_out=left_out),
        people=people,
        answers_new=split.held_out & strange[:count],
        pairs_new=of_pairs[1] & strange[count:],
        pairs_left_out=of_pairs[0] & out[count:],
    )


def _newcomers(
    judges: Sequence[tuple[str, ...]], training: Bools, held: Bools, options: PeopleOptions
) -> frozenset[str]:
    """People to be made new: enough for `options.fraction` of the held-out opinions, within `options.most_left_out`."""
    by_person: dict[str, list[int]] = defaultdict(list)
    for i, some in enumerate(judges):
        for name in some:
            by_person[name].append(i)
    learned = {name for name, rows in by_person.items() if training[rows].any()}
    new = {i for i in np.flatnonzero(held).tolist() if judges[i] and not learned.intersection(judges[i])}
    wanted, allowed = options.fraction * float(held.sum()), options.most_left_out * float(training.sum())
    gone: set[int] = set()
    chosen: set[str] = set()
    for name in sorted(learned, key=_hash):
        if len(new) >= wanted:
            break
        rows = by_person[name]
        loses = gone.union(i for i in rows if training[i])
        gains = {i for i in rows if held[i] and not learned.intersection(set(judges[i]) - chosen - {name})}
        if gains and len(loses) <= allowed:
            chosen.add(name)
            gone, new = loses, new | gains
    return frozenset(chosen)


def _hash(name: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{SALT}\0{name}".encode(), digest_size=8).digest(), name
