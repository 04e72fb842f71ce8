"""SIGKILL of `plaudit up` at random moments of the loop: nothing acknowledged is lost, nothing counts twice, and the
loop goes on."""

import os
import random
import time

import pytest

from tests.e2e.audit import check_by_hand, check_exactly_once, check_labels, events_of, provisional
from tests.e2e.deployment import TRAININGS, Deployment
from tests.e2e.traffic import traffic
from tests.fixtures.helpers import wait_until

SHORT_LIFE_SECONDS = 6.0
"""Long enough for labels to become final and for a training to be under way when the end comes."""
LONG_LIFE_SECONDS = 40.0
"""Long enough for a whole turn of the loop."""


@pytest.mark.timeout(400)
def test_killed_at_three_random_moments(running: Deployment) -> None:
    drill(running, 3, SHORT_LIFE_SECONDS, int(os.environ.get("PLAUDIT_TEST_SEED", "20")))


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_killed_at_ten_random_moments(running: Deployment) -> None:
    drill(running, 10, LONG_LIFE_SECONDS, int(os.environ.get("PLAUDIT_TEST_SEED", "21")))


def drill(deployment: Deployment, kills: int, longest_life_seconds: float, seed: int) -> None:
    draw = random.Random(seed)
    with traffic(deployment.url, seed) as crowd:
        for kill in range(1, kills + 1):
            life, before = draw.uniform(0.1, longest_life_seconds), len(crowd.receipts.events)
            time.sleep(life)
            deployment.up.kill()
            acknowledged = len(crowd.receipts.events) - before
            print(f"seed {seed}, kill {kill}: {life:.2f} s after readiness, {acknowledged} events taken in this life")
            deployment.ensure_ready()
        resumed = time.time()
        wait_until(lambda: turned(deployment, resumed), 150.0, "a turn of the loop after the last kill", 0.1)
    receipts = crowd.receipts
    print(f"{len(receipts.answers)} answers, {len(receipts.events)} acknowledgements, {receipts.retries} retries")
    assert receipts.retries >= kills, "nobody noticed the kills: the drill proves nothing"
    assert receipts.rejected == []
    with deployment.opened() as context:
        wait_until(lambda: set(receipts.events) <= set(events_of(context, receipts.answers)), 60.0, "the consumer")
        wait_until(lambda: provisional(context) == 0, 60.0, "the last windows to close", 0.1)
        check_exactly_once(context, crowd.sent, receipts.events, receipts.answers)
        check_labels(context)
        check_by_hand(context, crowd.sent)


def turned(deployment: Deployment, since: float) -> bool:
    """Whether a reward model and an adapter were trained, and labels made final, by runs that began after `since`."""
    done = {run["job"] for run in deployment.runs(*TRAININGS, since=since) if run["status"] == "done"}
    labelled = any("0 final" not in run["detail"] for run in deployment.runs("label", since=since) if run["ended_at"])
    return labelled and done == set(TRAININGS)
