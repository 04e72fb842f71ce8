"""After a promotion: the new champion is watched, and can be taken back."""

import pytest
from sqlalchemy import insert, select

from ab_testing.repository import ExperimentRepository
from infra.contracts import Experiment
from infra.db import Database
from infra.db.tables import breaker_trips, serving_state
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, ledger, quick


def promoted(settings: Settings, database: Database, event_log: EventLog, clock: object, **rules: object) -> World:
    world = World(quick(settings, holdback_share=0.2, **rules), clock, database, event_log)  # type: ignore[arg-type]
    world.start()
    world.write(world.visits(300, challenger=0.7, control=0.3))
    assert world.look(2 * FREEZE_AFTER).text.startswith("promote")
    return world


@pytest.fixture
def held(settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object) -> World:
    return promoted(settings, sqlite_database, event_log, clock)


def holdbacks(world: World) -> list[Experiment]:
    with world.database.reading() as connection:
        return ExperimentRepository(connection, world.project).running("holdback")


def champion(world: World) -> tuple[str, str]:
    with world.database.reading() as connection:
        row = connection.execute(select(serving_state.c.champion, serving_state.c.last_proven)).one()
    return row.champion, row.last_proven


def adapter_state(world: World, ref: str) -> str:
    with world.database.reading() as connection:
        return ExperimentRepository(connection, world.project).adapter_state(ref)


def test_a_promotion_begins_a_holdback_in_a_slot_of_its_own(held: World) -> None:
    (experiment,) = holdbacks(held)
    assert (experiment.challenger, experiment.control, experiment.uncounted) == ("style@1", "base", "style@1")
    assert (experiment.slot, experiment.phase.share) == ((0.0, 0.4), 0.5)
    assert [row.kind for row in ledger(held)][-2:] == ["promote", "start"]
    assert experiment.salt != held.experiment().salt
    held.prove(held.add_adapter(version=2))
    held.look()
    assert held.experiment().slot == (0.4, 1.0)


def test_without_harm_it_ends_and_the_champion_stays(held: World) -> None:
    (experiment,) = holdbacks(held)
    held.write(held.visits(100, challenger=0.5, control=0.5, experiment=experiment))
    (look,) = held.look(2 * FREEZE_AFTER).holdbacks
    assert (look.verdict.code if look.verdict else "", look.frozen > 0) == ("holding", True)
    (look,) = held.look(held.settings.ab_testing.holdback_seconds).holdbacks
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("stop", "kept")
    assert champion(held) == ("style@1", "base")
    assert holdbacks(held) == []
    held.prove(held.add_adapter(version=2))
    held.look()
    assert held.experiment().slot == (0.0, 1.0)


def test_harm_takes_the_new_champion_back_and_ends_the_challenge_against_it(held: World) -> None:
    held.prove(held.add_adapter(version=2))
    held.look()
    (experiment,) = holdbacks(held)
    held.write(held.visits(600, challenger=0.2, control=0.7, experiment=experiment))
    look = held.look(2 * FREEZE_AFTER)
    (demoted,) = look.holdbacks
    assert demoted.verdict is not None
    assert (demoted.verdict.kind, demoted.verdict.code) == ("rollback", "worse")
    assert champion(held) == ("base", "base")
    assert adapter_state(held, "style@1") == "rejected"
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("stop", "champion_changed")
    assert adapter_state(held, "style@2") == "challenger"
    assert [row.kind for row in ledger(held)][-2:] == ["rollback", "stop"]


def test_the_next_promotion_supersedes_it(held: World) -> None:
    (first,) = holdbacks(held)
    held.prove(held.add_adapter(version=2))
    held.look()
    held.write(held.visits(300, challenger=0.8, control=0.3))
    assert held.look(2 * FREEZE_AFTER).text.startswith("promote")
    (second,) = holdbacks(held)
    assert second.challenger == "style@2"
    assert [(row.kind, row.experiment_id) for row in ledger(held)][-2:] == [
        ("stop", first.experiment_id),
        ("start", second.experiment_id),
    ]
    assert champion(held) == ("style@2", "style@1")


def test_a_gateways_breaker_takes_back_at_the_next_look(held: World) -> None:
    (experiment,) = holdbacks(held)
    with held.database.transaction() as connection:
        connection.execute(
            insert(breaker_trips).values(
                project=held.project, experiment_id=experiment.experiment_id, arm="challenger", replica="one",
                reason="31 of 40 answers were empty", tripped_at=held.clock.now(),
            )
        )  # fmt: skip
    (look,) = held.look().holdbacks
    assert look.text == "rollback: a circuit breaker opened: one: 31 of 40 answers were empty"
    assert champion(held) == ("base", "base")
