"""Replaying the same events gives the same decisions: whatever the order in which they reached the store."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import delete, select, update

from ab_testing.control import command
from ab_testing.ledger import hash_of
from ab_testing.replay import Replay, replay_ledger
from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, Interaction, ManualClock
from infra.db import Database, migrate
from infra.db.tables import decisions, person_values
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


def replayed(world: World) -> Replay:
    with world.database.reading() as connection:
        return replay_ledger(connection, world.project)


def test_every_row_is_come_to_again(small_world: World) -> None:
    world = small_world
    world.start()
    world.look(1.0)
    world.write(world.visits(40, challenger=0.5, control=0.5))
    world.look(2 * FREEZE_AFTER)
    command(world.context, "pause", "lunch")
    command(world.context, "resume", "back")
    world.write(world.visits(260, challenger=0.8, control=0.3))
    assert world.look(2 * FREEZE_AFTER).text.startswith("promote")
    found = replayed(world)
    assert (found.rows, found.again, found.taken, found.differing, found.erased) == (6, 5, 1, [], [])


def forge(world: World, **changes: object) -> None:
    """Change the last row and seal it again: the chain alone does not see it."""
    with world.database.transaction() as connection:
        row = ExperimentRepository(connection, world.project).decisions()[-1]
        row = msgspec.structs.replace(row, **changes)  # type: ignore[arg-type]
        sealed = {**changes, "hash": hash_of(row)}
        connection.execute(update(decisions).where(decisions.c.sequence == row.sequence).values(**sealed))


def test_a_row_that_does_not_follow_from_the_values_is_named(small_world: World) -> None:
    world = small_world
    world.start()
    world.write(world.visits(100, challenger=0.5, control=0.5))
    assert world.look(2 * FREEZE_AFTER).text.startswith("hold")
    forge(world, kind="promote", reason="love is better")
    found = replayed(world)
    assert found.differing == ["decision 2 (promote): would be hold: not enough evidence either way yet"]
    with world.database.reading() as connection:
        metrics = ExperimentRepository(connection, world.project).decisions()[-1].evidence
    better = [{**metrics["metrics"][0], "log_e_better": 9.0}, *metrics["metrics"][1:]]  # type: ignore[index,misc]
    forge(world, kind="hold", reason="not enough evidence either way yet", evidence={**metrics, "metrics": better})
    (named,) = replayed(world).differing
    assert "metrics would be" in named


def test_erased_people_are_named(small_world: World) -> None:
    world = small_world
    world.start()
    world.write(world.visits(100, challenger=0.5, control=0.5))
    world.look(2 * FREEZE_AFTER)
    with world.database.transaction() as connection:
        user = connection.execute(select(person_values.c.user_key).limit(1)).scalar_one()
        connection.execute(delete(person_values).where(person_values.c.user_key == user))
    found = replayed(world)
    assert found.differing == []
    assert found.erased == ["decision 2 (hold): of the 100 people of metric 'love' some were erased"]
