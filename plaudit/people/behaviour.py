"""What a person does with an answer: read, vote or stay silent, copy, share, ask again."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infra.contracts import uuid7
from plaudit.people.crowd import Person

SECOND_LOOK = 0.5
"""Chance that a dissatisfied person asks again rather than leaves."""
STRONG_DISLIKE = 6.0
"""A dislike carries its strength sigmoid(-(u + 6)): strong (0.9 and more) only for answers that do not answer."""


@dataclass(frozen=True)
class Reaction:
    """What was done with one answer. `events` are ready for POST /v1/feedback, `reading_seconds` the time it took."""

    events: list[dict[str, Any]] = field(default_factory=list)
    reading_seconds: float = 0.0
    asks_again: bool = False


def event(response_id: str, signal: str, created_at: float, user: str, **more: Any) -> dict[str, Any]:
    """One feedback event with an id of its own."""
    return {
        "event_id": str(uuid7()),
        "response_id": response_id,
        "signal": signal,
        "created_at": created_at,
        "user": user,
        **more,
    }


def react(
    who: Person, response_id: str, text: str, satisfaction: float, now: float, draw: np.random.Generator
) -> Reaction:
    """One person's reaction to one shown answer; `satisfaction` is the person's u for it (see `crowd`)."""
    pleasure = float(1 / (1 + np.exp(-satisfaction)))
    # Displeased people skim: between 30 % and 100 % of the words are read, with noise.
    share_read = min(1.2, (0.3 + 0.7 * pleasure) * float(draw.lognormal(0.0, 0.3)))
    reading = max(0.5, share_read * len(text.split()) / who.words_per_second)

    def make(signal: str, after: float, **more: Any) -> dict[str, Any]:
        return event(response_id, signal, now + after, who.name, **more)

    events = [make("shown", 0.0), make("dwell", reading, value=round(reading, 2))]
    vote = _vote(who, satisfaction, draw)
    if vote == "dislike":
        events.append(make(vote, reading, value=round(float(1 / (1 + np.exp(satisfaction + STRONG_DISLIKE))), 3)))
    elif vote is not None:
        events.append(make(vote, reading))
    for signal, rate in (("copy", 0.25), ("reuse", 0.15), ("share", 0.10)):
        if draw.random() < rate * pleasure**2:
            events.append(make(signal, reading))
    asks_again = bool(draw.random() < SECOND_LOOK * (1 - pleasure) ** 2)
    return Reaction(events, reading, asks_again)


def compare(
    who: Person,
    first: tuple[str, float],
    second: tuple[str, float],
    now: float,
    draw: np.random.Generator,
) -> list[dict[str, Any]]:
    """After asking again: the regeneration, and which of the two `(response_id, satisfaction)` the person kept.

    P(second kept) = sigmoid(u2 - u1), as Bradley-Terry has it, and the person errs with `error_rate`.
    """
    kept_second = draw.random() < 1 / (1 + np.exp(first[1] - second[1]))
    if draw.random() < who.error_rate:
        kept_second = not kept_second
    winner, loser = (second[0], first[0]) if kept_second else (first[0], second[0])
    return [
        event(first[0], "regenerate", now, who.name, other_response_id=second[0]),
        event(winner, "duel", now, who.name, other_response_id=loser),
    ]


def _vote(who: Person, satisfaction: float, draw: np.random.Generator) -> str | None:
    u = np.array([satisfaction])
    roll = draw.random()
    like, dislike = float(who.like_probability(u)[0]), float(who.dislike_probability(u)[0])
    vote = "like" if roll < like else "dislike" if roll < like + dislike else None
    if vote is not None and draw.random() < who.error_rate:
        vote = "dislike" if vote == "like" else "like"
    return vote
