"""SIGKILL of API, consumer and label maker at random moments under load."""

import random
import time

import pytest

from tests.drills.audit import check, settle
from tests.drills.plant import PARTS, Plant
from tests.drills.stream import reactions, send


def drill(plant: Plant, *, kills: int, answers: int, seed: int, every_seconds: float) -> None:
    """Kill a random part `kills` times while events stream in, then compare with a clean run.

    The consumer works in small steps and is never idle, so that a kill finds it in the middle of something.
    """
    draw = random.Random(seed)
    plant.start()
    events = reactions(seed, answers)
    senders = send(plant.url, events, batch=5, seconds=kills * every_seconds)
    for _ in range(kills):
        time.sleep(draw.uniform(0.2, 1.0) * every_seconds)
        part = draw.choice(("consumer", *PARTS))
        plant.kill(part)
        plant.start(part)
    for sender in senders:
        sender.join(120.0)
    settle(plant, events)
    check(plant, events, senders)


@pytest.mark.timeout(240)
def test_kills_lose_nothing_double_nothing_and_change_no_label(plant: Plant) -> None:
    kills = 5 if plant.settings.event_log.kind == "embedded" else 2
    drill(plant, kills=kills, answers=250, seed=1, every_seconds=1.5)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_hundred_kills(plant: Plant) -> None:
    drill(plant, kills=100, answers=3000, seed=2, every_seconds=2.5)
