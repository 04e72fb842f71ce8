"""Preferences out of labels: answers of different arms, adapters or people to one prompt, judged apart. Pure.

Where two people were asked for an opinion about two answers to the same prompt, and one liked what the other did not,
the two opinions are a comparison. With P(like | answer) = s(u(answer)), s the logistic function,

    P(first liked, second not | exactly one is liked) = s(u(first) - u(second)),

which is Bradley-Terry in the same utility: conditional logistic regression (Breslow and Day 1980, ch. 7). Agreement
says nothing about the difference there, so pairs without a difference are left out, unless ties are asked for.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reward_model.cleaning import judge_of, judges_of, texts_of
from reward_model.people_halves import half_of
from reward_model.rows import AnswerRow, Key, LabelRow, PairRow

MATCHED = "matched"
AT_MOST = 200
"""Answers to one prompt that are compared: of more, those with the smallest hashes, a random sample that stays."""


@dataclass(frozen=True)
class MatchedOptions:
    """`weight` of a comparison of two opinions of weight 1, 0 for no such pairs; `per_answer`: most comparisons one
    answer takes part in, so that a prompt everybody asks does not drown the others; `ties`: also make pairs with
    soft = 0.5 where one person voted the same about both; `clip`: largest factor of the assignment propensities."""

    weight: float = 0.25
    per_answer: int = 4
    ties: bool = False
    clip: float = 10.0


@dataclass(frozen=True)
class Opinion:
    """One objective's label of one answer: `value` in [0, 1], `weight` > 0, by `person` (None: nobody known) of
    `half`, about an answer with `text_key` to `prompt_key` made by `adapter` in `arm`, drawn with `propensity`."""

    key: Key
    prompt_key: str
    text_key: str
    person: str | None
    half: int
    adapter: str
    arm: str | None
    propensity: float | None
    value: float
    weight: float
    made_at: float


def compare_labels(
    known: Mapping[Key, AnswerRow],
    labels: Sequence[LabelRow],
    pairs: Sequence[PairRow],
    options: MatchedOptions,
    salt: str,
) -> list[PairRow]:
    """Comparisons out of `labels` (one a person and text) that `pairs` do not hold already: by sentiment among those
    who voted, else by love. Labels of several people at once are left out: they belong to no one half."""
    taken = {texts_of(known, pair) for pair in pairs}
    made: dict[str, PairRow] = {}
    for objective, explicit in (("love", False), ("sentiment", True)):  # what was voted outright comes last, and holds
        opinions = [
            opinion for label in labels if (opinion := _opinion(known[label.key], label, objective, salt)) is not None
        ]
        found = matched_pairs(opinions, options, explicit=explicit, taken=taken)
        made |= {pair.pair_id: pair for pair in found}
    return list(made.values())


def _opinion(answer: AnswerRow, label: LabelRow, objective: str, salt: str) -> Opinion | None:
    value, weight = label.values.get(objective), label.weights.get(objective, 1.0)
    if value is None or weight <= 0.0 or len(judges_of(label, answer)) > 1:
        return None
    person = judge_of(label, answer)
    return Opinion(
        key=answer.key,
        prompt_key=answer.prompt_key,
        text_key=answer.near_key,
        person=person,
        half=half_of(person, answer.conversation_id, salt),
        adapter=answer.adapter,
        arm=f"{answer.experiment}:{answer.arm}" if answer.arm else None,
        propensity=answer.propensity,
        value=value,
        weight=weight,
        made_at=label.made_at,
    )


def matched_pairs(
    opinions: Sequence[Opinion], options: MatchedOptions, *, explicit: bool, taken: set[frozenset[str]] | None = None
) -> list[PairRow]:
    """Comparisons among `opinions` about one objective, at most one opinion an answer, in the order of their ids.

    Two opinions y1 >= y2 of weights w1, w2 about answers drawn with probabilities p1, p2 give

        soft = (1 + y1 - y2) / 2,   margin = y1 - y2,   weight = options.weight * 2 w1 w2 / (w1 + w2) * f,
        f = 0.25 / (p1 p2), clipped to [1 / clip, clip], p = 0.5 where unknown:

    inverse propensity against an even split, so that an arm few people were given counts as much as the other. Both
    people are of one half (`people_halves`), so that a pair has a half. `explicit`: silence has no part in the
    objective, so one person's equal opinions are a tie. `taken`: pairs of texts {a, b} that are compared already.
    """
    if options.weight <= 0.0:
        return []
    by_prompt: dict[tuple[str, int], list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        by_prompt[opinion.prompt_key, opinion.half].append(opinion)
    made = [
        _pair(one, other, options)
        for some in by_prompt.values()
        if len(some) > 1
        for one, other in _comparisons(some, options, explicit and options.ties, taken or set())
    ]
    return sorted(made, key=lambda pair: pair.pair_id)


def _comparisons(
    some: Sequence[Opinion], options: MatchedOptions, ties: bool, taken: set[frozenset[str]]
) -> list[tuple[Opinion, Opinion]]:
    """Which answers to one prompt meet: in the order of their hashes, each with those after it, up to `per_answer`."""
    drawn = sorted(some, key=lambda opinion: (_hash(opinion.key), opinion.key))[:AT_MOST]
    if not ties and len({opinion.value for opinion in drawn}) == 1:
        return []
    met = [0] * len(drawn)
    found = []
    for i, one in enumerate(drawn):
        for j in range(i + 1, len(drawn)):
            if met[i] >= options.per_answer:
                break
            other = drawn[j]
            if met[j] < options.per_answer and _comparable(one, other, ties, taken):
                found.append((one, other))
                met[i] += 1
                met[j] += 1
    return found


def _comparable(one: Opinion, other: Opinion, ties: bool, taken: set[frozenset[str]]) -> bool:
    same_person = one.person == other.person and one.person is not None
    if one.value == other.value and not (ties and same_person):
        return False
    if one.text_key == other.text_key or frozenset((one.text_key, other.text_key)) in taken:
        return False
    apart = (one.adapter, one.arm) != (other.adapter, other.arm)
    return apart or (not same_person and one.key[0] != other.key[0])


def _pair(one: Opinion, other: Opinion, options: MatchedOptions) -> PairRow:
    first, second = sorted((one, other), key=lambda opinion: (-opinion.value, opinion.key))
    drawn = (first.propensity or 0.5) * (second.propensity or 0.5)
    factor = min(options.clip, max(1.0 / options.clip, 0.25 / drawn))
    harmonic = 2.0 * first.weight * second.weight / (first.weight + second.weight)
    difference = first.value - second.value
    name = "\0".join(str(part) for opinion in sorted((one, other), key=lambda o: o.key) for part in opinion.key)
    return PairRow(
        pair_id=f"{MATCHED}-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}",
        preferred=first.key,
        other=second.key,
        weight=options.weight * harmonic * factor,
        source=MATCHED,
        made_at=max(first.made_at, second.made_at),
        user_key=first.person or second.person,
        soft=(1.0 + difference) / 2.0,
        margin=difference,
        other_user=second.person,
    )


def _hash(key: Key) -> bytes:
    return hashlib.blake2b(f"{key[0]}\0{key[1]}".encode(), digest_size=8).digest()
