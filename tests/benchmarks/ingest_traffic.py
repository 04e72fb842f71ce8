"""The traffic that ingest is measured with: what people do with answers, in the order in which it would arrive.

Stated mix, for each answer: shown once; the reading time told twice by 70 % (it is updated as the person reads on);
like 12 %, dislike 4 %, copy 15 %, reuse 5 %, share 2 %, regenerate 2 % (names another answer), comment 1 %: about 2.8
events. Answers come at a thousand a second and are recent; reactions follow after 5 to 40 seconds on average, so that
some 30,000 answers are being reacted to at any time and most events meet a label that has to be changed. Every event
names its user, device, and both client times.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from infra.contracts import Answer, Interaction, Message, new_response_id, uuid7

ANSWERS_PER_SECOND = 1000.0
USERS = 50_000
START = time.time() - 3600.0
"""Unix seconds: the windows of these answers are open, as those of recent answers are."""

MIX: tuple[tuple[str, float, float], ...] = (
    ("shown", 1.0, 0.5),
    ("dwell", 0.7, 8.0),
    ("dwell", 0.7, 25.0),
    ("like", 0.12, 20.0),
    ("dislike", 0.04, 20.0),
    ("copy", 0.15, 30.0),
    ("reuse", 0.05, 40.0),
    ("share", 0.02, 40.0),
    ("regenerate", 0.02, 15.0),
    ("comment", 0.01, 40.0),
)
"""(signal, share of answers that get it, mean seconds after the answer)"""

Event = dict[str, Any]


def traffic(events: int, seed: int = 7) -> tuple[list[str], list[Event]]:
    """(ids of the answers, `events` events about them as clients send them, in order of arrival)."""
    draw = random.Random(seed)
    answers: list[str] = []
    planned: list[tuple[float, int, str]] = []
    while len(planned) < 1.3 * events + 100_000:
        at = len(answers) / ANSWERS_PER_SECOND
        for signal, share, delay in MIX:
            if draw.random() < share:
                planned.append((at + draw.expovariate(1.0 / delay), len(answers), signal))
        answers.append(new_response_id())
    planned.sort()
    made = [_event(draw, answers, at, index, signal) for at, index, signal in planned[:events]]
    used = max(index for _, index, _ in planned[:events]) + 1
    return answers[: used + 1], made


def _event(draw: random.Random, answers: list[str], at: float, index: int, signal: str) -> Event:
    created = START + at + draw.random()
    event: Event = {
        "event_id": str(uuid7()),
        "response_id": answers[index],
        "signal": signal,
        "user": f"user-{hash((index, 17)) % USERS}",
        "device": "mobile" if index % 3 else "desktop",
        "created_at": round(created, 3),
        "sent_at": round(created + 0.4 + draw.random(), 3),
    }
    if signal == "dwell":
        event["value"] = round(draw.expovariate(1 / 20), 2)
    elif signal == "regenerate":
        event["other_response_id"] = answers[min(index + 1, len(answers) - 1)]
    elif signal == "comment":
        event["text"] = "This helped, but the second half could be shorter."
    return event


def bodies(events: list[Event], batch: int) -> list[bytes]:
    """Request bodies of `batch` events each; single events without an envelope."""
    if batch == 1:
        return [msgspec.json.encode(event) for event in events]
    return [msgspec.json.encode({"events": events[i : i + batch]}) for i in range(0, len(events), batch)]


def interactions(answers: list[str]) -> Iterator[Interaction]:
    """The interactions of the answers: short, since nothing on the hot path may read their payload."""
    messages = (Message("user", "What is a tide?"),)
    for index, response_id in enumerate(answers):
        yield Interaction(
            project="default",
            response_id=response_id,
            conversation_id=response_id,
            created_at=START + index / ANSWERS_PER_SECOND,
            messages=messages,
            answers=(Answer(0, "The moon and the sun pull at the sea, the nearer side more than the earth.", "stop"),),
            user_key=f"{hash((index, 17)) % USERS:032x}",
        )
