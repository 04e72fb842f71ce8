"""Replaying the same events gives the same decisions: whatever the order in which they reached the store."""

from pathlib import Path

import numpy as np
import pytest

from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, Interaction, ManualClock
from infra.db import Database, migrate
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, quick

Visit = tuple[Interaction, dict[str, float | None]]
EVERY = 10.0
WAVES = 12


def story(world: World, order: np.random.Generator | None, looks: int) -> list[Decision]:
    """Twelve waves of people, ten seconds apart, looked at `looks` times a wave; `order` permutes arrival in waves."""
    world.start()
    for _ in range(WAVES + int(2 * FREEZE_AFTER / EVERY)):
        if world.people < 40 * WAVES:
            visits = world.visits(40, challenger=0.45, control=0.25)
            if order is not None:
                order.shuffle(visits)
            for chunk in range(0, 40, 8):
                world.write(visits[chunk : chunk + 8])
        for _ in range(looks):
            world.look(EVERY / looks)
    with world.database.reading() as connection:
        return ExperimentRepository(connection, world.project).decisions()


@pytest.mark.parametrize("seed", [1, 2])
def test_arrival_does_not_matter(settings: Settings, event_log: EventLog, tmp_path: Path, seed: int) -> None:
    ledgers = []
    for name, order in (("straight", None), ("shuffled", np.random.default_rng(seed))):
        url = f"sqlite:///{tmp_path / name}.sqlite3"
        migrate(url)
        database = Database.open(url)
        world = World(quick(settings, min_people_per_arm=40), ManualClock(), database, event_log)
        world.draw = np.random.default_rng(seed)
        ledgers.append(story(world, order, looks=1))
        database.close()
    assert ledgers[0] == ledgers[1]  # hashes included
    assert ledgers[0][-1].kind == "promote"


def test_more_looks_see_the_same_people(settings: Settings, event_log: EventLog, tmp_path: Path) -> None:
    """Looking five times as often changes when a decision falls, never which people precede which."""
    orders = []
    for looks in (1, 5):
        url = f"sqlite:///{tmp_path / str(looks)}.sqlite3"
        migrate(url)
        database = Database.open(url)
        world = World(quick(settings, min_people_per_arm=10_000), ManualClock(), database, event_log)
        story(world, None, looks)
        from ab_testing.values_repository import ValuesRepository

        with database.reading() as connection:
            values = ValuesRepository(connection, world.project, world.experiment().experiment_id).values()
        orders.append(values)
        database.close()
    assert len(orders[0]["love"]) == 40 * WAVES
    assert orders[0] == orders[1]
