"""Several candidates of one cycle at the same time."""

import pytest

from ab_testing.discoveries import stream_of
from ab_testing.replay import replay_ledger
from ab_testing.repository import ExperimentRepository
from infra.db import Database
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, ledger, quick


@pytest.fixture
def three(settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object) -> World:
    rules = {"max_candidates": 3, "fdr_horizon": 6}
    world = World(quick(settings, **rules), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.prove(world.add_adapter(version=9, cycle=6, gain=5.0))
    world.clock.advance(1.0)
    for version, gain in ((1, 0.3), (2, 0.2), (3, 0.1)):
        world.prove(world.add_adapter(version=version, cycle=7, gain=gain))
    assert world.look().text.startswith("start: style@1 and style@2 and style@3 against base")
    return world


def states(world: World) -> list[str]:
    with world.database.reading() as connection:
        repository = ExperimentRepository(connection, world.project)
        return [repository.adapter_state(f"style@{version}") for version in (1, 2, 3, 9)]


def test_the_best_of_those_that_pass_is_promoted(three: World) -> None:
    experiment = three.experiment()
    assert experiment.others == ("style@2", "style@3")
    assert experiment.phase.share == pytest.approx(1 / 6)
    three.write(three.visits(1000, control=0.3, challenger=0.6, arms={"challenger-2": 0.9, "challenger-3": 0.32}))
    look = three.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.arm) == ("promote", "challenger-2"), look.text
    assert states(three) == ["challenger", "champion", "reserve", "challenger"]
    with three.database.reading() as connection:
        again = replay_ledger(connection, three.project)
    assert (again.again, again.differing) == (1, [])
    row = ledger(three)[-1]
    assert row.evidence["passing"] == ["challenger", "challenger-2"]
    assert row.evidence["propensity"] == pytest.approx(dict.fromkeys(experiment.arms, 1 / 6))
    assert [(known.position, known.promoted) for known in stream_of(ledger(three))] == [
        (1, False),
        (2, True),
        (3, False),
    ]


def test_harm_of_one_drops_it_alone(three: World) -> None:
    three.write(three.visits(600, control=0.5, challenger=0.5, arms={"challenger-2": 0.1, "challenger-3": 0.5}))
    look = three.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert look.verdict.kind == "hold"
    experiment = three.experiment()
    assert (experiment.status, experiment.dropped) == ("running", ("challenger-2",))
    assert list(experiment.remaining) == ["challenger", "challenger-3"]
    assert states(three) == ["challenger", "rejected", "challenger", "challenger"]
    assert [row.kind for row in ledger(three)] == ["start", "drop", "hold"]
    assert "love is worse" in ledger(three)[1].reason
    three.write(three.visits(300, control=0.3, challenger=0.8, arms={"challenger-2": 1.0, "challenger-3": 0.2}))
    assert three.look(2 * FREEZE_AFTER).verdict is not None
    assert "challenger-2" not in dict(ledger(three)[-1].evidence["candidates"])  # type: ignore[call-overload]
