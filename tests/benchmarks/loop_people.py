"""The people of the closed loop: honest ones with fitted tastes, and those who corrupt what is recorded.

A person's satisfaction with an answer is u = mood + decisiveness * weights . (features - mean) - 7 (1 - relevance),
weights those of `loop_tastes` varied by person; relevance as in `plaudit.people.judge`. P(like | shown) = candour *
s(u), so silence depends on opinion; reading time does, too (`plaudit.people.behaviour`). Tastes drift: what they weigh
for `direct` grows by half over the days of feedback, and those who judge at the end have the tastes of the last day.

A corrupted visit always ends in a vote, of one of four kinds in turn: `random` (a coin), `careless` (a rate of like of
one's own, whatever the answer), `coordinated` (accounts that together push answers which restate the question and never
end, and vote the others down), `length` (likes whatever is longer than usual). Each kind has a few accounts that come
back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.people.attributes import fluency
from plaudit.people.behaviour import Reaction, compare, event, react
from plaudit.people.crowd import IRRELEVANCE_COST, Person, person
from plaudit.people.judge import MIDPOINT, WIDTH, Judge
from tests.benchmarks.loop_tastes import FEATURES, Tastes, features_of

Floats = NDArray[np.float64]

DECISIVENESS = 3.0
"""One recorded judgment compares two long answers of like quality; people who meet a short answer to a question of
their own are taken to be three times as decided. An assumption, fixed before any run."""
TASTE_SPREAD = 0.3
MOOD_SPREAD = 0.5
BASE_LOVE = 0.15
"""Share of the base model's answers that are liked: moods are set to it, on the feedback window's own answers."""
DRIFT = 0.5
KINDS = ("random", "careless", "coordinated", "length")
VOTES_PER_ACCOUNT = 6
UNSEEN = 10_000_000
"""Number of the first person who judges at the end and never visits."""


@dataclass(frozen=True)
class Town:
    """What all people of one seed share: tastes, the mean features of the base model's answers, and the mood."""

    seed: int
    tastes: Tastes
    mean: tuple[float, ...]
    mood: float

    def satisfaction(self, index: int, seen: "Seen", age: float = 1.0) -> Floats:
        """(n,) u of person `index` for the answers `seen`, at `age` in [0, 1] of the feedback window."""
        draw = np.random.default_rng([self.seed, index, 7])
        weights = np.array(self.tastes.weights) * (1 + draw.normal(0, TASTE_SPREAD, len(FEATURES)))
        weights[0] *= 1 + DRIFT * age
        mood = self.mood + float(draw.normal(0, MOOD_SPREAD))
        value: Floats = mood + DECISIVENESS * (seen.features - np.array(self.mean)) @ weights
        return value - IRRELEVANCE_COST * (1 - seen.relevance)

    def who(self, index: int) -> Person:
        """Candour, error, reading speed and name of person `index`; the person's own tastes are not used here."""
        return replace(person(self.seed, index), name=f"loop-{self.seed}-{index}")


@dataclass(frozen=True)
class Seen:
    """Answers as the judge sees them: `features` (n, 6), `relevance` (n,) in [0, 1]."""

    features: Floats
    relevance: Floats

    def one(self, place: int) -> "Seen":
        return Seen(self.features[place : place + 1], self.relevance[place : place + 1])


def look(judge: Judge, prompts: Sequence[str], answers: Sequence[str], finished: Sequence[bool]) -> Seen:
    """Judge answers to prompts. The cosine is computed once for both uses."""
    features = features_of(judge, prompts, answers, finished)
    cosine = features[:, FEATURES.index("on topic")] / 10
    fluent = np.array([fluency(answer) for answer in answers])
    return Seen(features, np.asarray(fluent / (1 + np.exp(-(cosine - MIDPOINT) / WIDTH))))


def settle(seed: int, tastes: Tastes, seen: Seen, people: int = 200) -> Town:
    """The town whose mean P(like) on the base model's answers is BASE_LOVE: its mood is found by bisection."""
    mean = tuple(seen.features.mean(0).tolist())
    low, high = -15.0, 10.0
    for _ in range(40):
        mood = (low + high) / 2
        love = love_rate(Town(seed, tastes, mean, mood), seen, range(20_000_000, 20_000_000 + people), age=0.0)
        low, high = (mood, high) if love.mean() < BASE_LOVE else (low, mood)
    return Town(seed, tastes, mean, (low + high) / 2)


def love_rate(town: Town, seen: Seen, people: Sequence[int], age: float = 1.0) -> Floats:
    """(people, n): P(like | shown) of every answer by every person, slips left out."""
    rows = [town.who(i).like_probability(town.satisfaction(i, seen, age)) for i in people]
    return np.stack(rows)


def honest(town: Town, index: int, answer: "Shown", age: float) -> tuple[Reaction, float]:
    """The reaction of an honest person, and the satisfaction behind it."""
    u = float(town.satisfaction(index, answer.seen, age)[0])
    draw = np.random.default_rng([town.seed, index, 1, answer.turn])
    return react(town.who(index), answer.response_id, answer.text, u, answer.at, draw), u


def kept(
    town: Town, index: int, first: tuple[str, float], second: tuple[str, float], at: float
) -> list[dict[str, Any]]:
    """The regeneration and the duel after a second look."""
    return compare(town.who(index), first, second, at, np.random.default_rng([town.seed, index, 2]))


@dataclass(frozen=True)
class Shown:
    """One answer before one person: `turn` 0, or 1 for the second look; `at` in Unix seconds."""

    response_id: str
    text: str
    seen: Seen
    at: float
    turn: int = 0


def corrupted(town: Town, number: int, answer: Shown, usual_length: float) -> list[dict[str, Any]]:
    """The events of the `number`-th corrupted visit."""
    kind = KINDS[number % len(KINDS)]
    account = number // (len(KINDS) * VOTES_PER_ACCOUNT)
    name = account_name(town, number)
    draw = np.random.default_rng([town.seed, number, 3])
    own_rate = float(np.random.default_rng([town.seed, account, 4]).uniform(0.3, 0.9))
    direct, complete = answer.seen.features[0, 0] > 0, answer.seen.features[0, 2] > 0
    liked = {
        "random": draw.random() < 0.5,
        "careless": draw.random() < own_rate,
        "coordinated": not direct and not complete,
        "length": len(answer.text) > usual_length,
    }[kind]
    reading = float(draw.lognormal(1.0, 0.5))
    return [
        event(answer.response_id, "shown", answer.at, name),
        event(answer.response_id, "dwell", answer.at + reading, name, value=round(reading, 2)),
        event(answer.response_id, "like" if liked else "dislike", answer.at + reading, name),
    ]


def account_name(town: Town, number: int) -> str:
    """Whose the `number`-th corrupted visit is."""
    kind, account = KINDS[number % len(KINDS)], number // (len(KINDS) * VOTES_PER_ACCOUNT)
    return f"loop-{town.seed}-{kind}-{account}"
