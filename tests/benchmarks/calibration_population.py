"""Simulated people who like, keep, share and dislike answers; the base policy and candidates of spread quality.

What a person thinks of an answer is known: opinion log-odds = own generosity + taste-weighted appeal + what is in no
text. `love` is a like that was given: opinion and the habit of saying so. All candidates re-select among the answers
that the base policy can give, p_k(answer | question) ~ p_0(answer | question) exp(strength x direction).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.calibration_texts import MANNERS, Stock

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

OBJECTIVES = ("love", "sentiment", "dwell", "reuse", "share", "harm")
BASE_SHARES = {"plain": 0.34, "short": 0.12, "long": 0.14, "opening": 0.1, "closing": 0.1, "gushing": 0.02}
BASE_SHARES |= {"hedged": 0.07, "list": 0.05, "steps": 0.04, "refusal": 0.02}
"""Share of each manner under the base policy."""
STRENGTH = 2.0
"""Log-odds of a like for one unit of appeal."""
_WARMTH = {"opening": 0.5, "closing": 0.7, "gushing": 0.9, "refusal": -0.5}
_USE = {"list": 0.5, "steps": 0.7, "hedged": -0.5, "refusal": -1.6, "gushing": -0.4}


@dataclass(frozen=True)
class World:
    """What is true of every text [I]: the traits `warmth`, `use`, `concise`, and `style`, what the mean person makes of
    them; `unseen`: which answer people preferred and a trait in no text, neither to be read off a manner; `appeal` to
    the mean person, style and unseen; `base` [I]: its probability under the base policy given the question."""

    warmth: Array
    use: Array
    concise: Array
    style: Array
    unseen: Array
    appeal: Array
    base: Array


@dataclass(frozen=True)
class Crowd:
    """C people: `generosity` and tastes; `voice`: log-odds of voting at all; `mobile`: their device, logged."""

    generosity: Array
    taste_warmth: Array
    taste_use: Array
    voice: Array
    mobile: NDArray[np.bool_]


@dataclass(frozen=True)
class Log:
    """N answers shown: `item` the text, `person`, targets by objective (NaN where it says nothing), and `opinion`: the
    like (1) or dislike (0) that everybody has, voted or not; `voting`: the true probability of a vote given the device,
    opinion averaged out."""

    item: Ints
    person: Ints
    targets: dict[str, Array]
    opinion: Array
    voting: Array


def make_world(stock: Stock, rng: np.random.Generator) -> World:
    """Appeal from manner, length and human preference, with an interaction (lists suit factual questions) and a bend
    (warmth beyond a measure repels)."""
    names = list(MANNERS)
    warmth = np.array([_WARMTH.get(names[m], 0.0) for m in stock.manner])
    factual = stock.prompt < stock.factual
    use = np.array([_USE.get(names[m], 0.0) for m in stock.manner]) * np.where(factual, 1.3, 0.7)
    concise = -np.abs(np.log(np.maximum(stock.words, 1.0) / 45.0))
    style = warmth + use + 0.6 * concise - 2.0 * np.maximum(warmth - 0.75, 0.0)
    unseen = 0.25 * stock.liked + rng.normal(0, 0.25, len(stock.texts))
    appeal = style + unseen + rng.normal(0, 0.3, len(stock.questions))[stock.prompt]
    share = np.array([BASE_SHARES[names[m]] for m in stock.manner])
    base = share / np.bincount(stock.prompt, share)[stock.prompt]
    return World(warmth, use, concise, style, unseen, appeal, base)


def make_crowd(count: int, rng: np.random.Generator) -> Crowd:
    """People differ in generosity (sd .6), in taste (sd .4 about 1) and in how readily they vote."""
    mobile = rng.random(count) < 0.5
    return Crowd(
        generosity=rng.normal(-0.1, 0.6, count) + np.where(mobile, 0.4, -0.4),
        taste_warmth=rng.normal(1.0, 0.4, count),
        taste_use=rng.normal(1.0, 0.4, count),
        voice=rng.normal(-1.0, 0.7, count) + np.where(mobile, 0.6, -0.6),
        mobile=mobile,
    )


def tilted(world: World, stock: Stock, direction: Array, strength: float) -> Array:
    """p(text | question) [I] of the base policy tilted by exp(strength x direction, standardised under the base)."""
    weight = world.base / len(stock.questions)
    centre = float(weight @ direction)
    spread = float(np.sqrt(weight @ np.square(direction - centre))) or 1.0
    mass = world.base * np.exp(np.clip(strength * (direction - centre) / spread, -30, 30))
    return np.asarray(mass / np.bincount(stock.prompt, mass)[stock.prompt])


def answers_of(policy: Array, stock: Stock, prompts: Ints, rng: np.random.Generator) -> Ints:
    """A text [n] drawn from `policy` for each question [n]."""
    starts = np.searchsorted(stock.prompt, np.arange(len(stock.questions) + 1))
    steps = np.cumsum(policy)
    before = np.concatenate([[0.0], steps])[starts[prompts]]
    drawn = np.searchsorted(steps, before + rng.random(len(prompts)) * (1 - 1e-9), side="right")
    return np.asarray(np.clip(drawn, starts[prompts], starts[prompts + 1] - 1), np.int64)


def show(
    world: World,
    crowd: Crowd,
    item: Ints,
    person: Ints,
    rng: np.random.Generator,
    *,
    opinion_odds: float = 1.0,
) -> Log:
    """What people do with the answers `item` [n] shown to `person` [n]. `opinion_odds`: by how much a like multiplies
    the odds of voting (1: silence depends on person and device alone)."""
    taste = (crowd.taste_warmth[person] - 1) * world.warmth[item] + (crowd.taste_use[person] - 1) * world.use[item]
    logit = crowd.generosity[person] + STRENGTH * (world.appeal[item] + taste)
    likes = rng.random(len(item)) < _sigmoid(logit)
    habit = crowd.voice[person]
    votes = rng.random(len(item)) < _sigmoid(habit + np.log(opinion_odds) * likes)
    reuse = rng.random(len(item)) < _sigmoid(
        -1.6 + 0.9 * world.use[item] + 0.5 * crowd.generosity[person] + world.unseen[item]
    )
    share = rng.random(len(item)) < _sigmoid(-3.0 + 0.8 * world.appeal[item] + 0.5 * crowd.generosity[person])
    harm = rng.random(len(item)) < _sigmoid(-3.4 - 0.7 * world.appeal[item] - 0.4 * crowd.generosity[person])
    reading = _sigmoid(0.2 + 0.7 * world.appeal[item] + 0.4 * crowd.generosity[person] + rng.normal(0, 0.8, len(item)))
    by_device = {device: _sigmoid(crowd.voice[crowd.mobile == device]).mean() for device in (False, True)}
    targets = {
        "love": (likes & votes).astype(np.float64),
        "sentiment": np.where(votes, likes.astype(np.float64), np.nan),
        "dwell": reading,
        "reuse": reuse.astype(np.float64),
        "share": share.astype(np.float64),
        "harm": harm.astype(np.float64),
    }
    voting = np.where(crowd.mobile[person], by_device[True], by_device[False])
    return Log(item, person, targets, likes.astype(np.float64), voting)


def visit(
    world: World,
    stock: Stock,
    policy: Array,
    prompts: Ints,
    people: int,
    answers: int,
    rng: np.random.Generator,
    *,
    opinion_odds: float = 1.0,
) -> Log:
    """New people who ask `answers` questions each, drawn evenly from `prompts`, and are answered by `policy`."""
    crowd = make_crowd(people, rng)
    person = np.repeat(np.arange(people), answers)
    asked = rng.choice(prompts, len(person))
    return show(world, crowd, answers_of(policy, stock, asked, rng), person, rng, opinion_odds=opinion_odds)


def candidate_policies(world: World, stock: Stock, own_score: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Name -> policy [I]: along the style people like (both ways), along single traits, along nothing, and along the
    reward model's own logit (`own_score` [I]): what a policy update does."""
    directions = (
        ("style", world.style, (-1.0, -0.5, 0.5, 1.0, 2.0)),
        ("warmth", world.warmth, (0.7, 1.5)),
        ("use", world.use, (0.7, 1.5)),
        ("concise", world.concise, (1.0,)),
        ("random", rng.normal(size=len(stock.texts)), (1.5,)),
        ("reward model", own_score, (0.5, 1.0, 2.0)),
    )
    return _along(world, stock, directions)


def unforeseeable_policies(world: World, stock: Stock) -> dict[str, Array]:
    """Candidates that know of an answer what no reward model can read off it: along the whole appeal, and along the
    unseen part of it alone."""
    directions = (("appeal", world.appeal, (-1.0, -0.5, 0.5, 1.0, 2.0)), ("unseen", world.unseen, (-1.0, 1.0, 2.0)))
    return _along(world, stock, directions)


def _along(world: World, stock: Stock, directions: Sequence[tuple[str, Array, Sequence[float]]]) -> dict[str, Array]:
    return {
        f"{name} {strength:+g}": tilted(world, stock, direction, strength)
        for name, direction, strengths in directions
        for strength in strengths
    }


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
