"""A second consumer comes, leaves, and is killed while events stream in."""

import time

import pytest

from tests.drills.audit import check, settle
from tests.drills.plant import Plant
from tests.drills.stream import reactions, send


@pytest.mark.timeout(240)
def test_two_consumers_share_out_the_partitions_under_load(plant: Plant) -> None:
    plant.start()
    events = reactions(10, 150)
    senders = send(plant.url, events, seconds=8.0)
    time.sleep(0.5)
    plant.start("consumer2")
    time.sleep(3.0)
    plant.kill("consumer")
    time.sleep(2.0)
    plant.start("consumer")
    time.sleep(2.0)
    plant.kill("consumer2")
    for sender in senders:
        sender.join(60.0)
    settle(plant, events)
    check(plant, events, senders)
