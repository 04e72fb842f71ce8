"""The champion against itself: silent while all is well, an alarm when anything depends on the arm."""

import pytest

from ab_testing.repository import ExperimentRepository
from ab_testing.routing import assign
from ab_testing.sentinel import NoAlarm, acknowledge, sentinel_alarm, watch
from ab_testing.sentinel_repository import SentinelRepository
from ab_testing.service import bootstrap_state, current_watermark
from ab_testing.standing import standing_of
from ab_testing.telemetry import refresh_experiment_metrics
from infra.contracts import Experiment, Interaction, ManualClock
from infra.db import Database
from infra.event_log.port import EventLog
from infra.metrics.catalogue import REGISTRY
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, ledger, quick


@pytest.fixture
def watched(settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog) -> World:
    world = World(quick(settings, sentinel_people=300), clock, sqlite_database, event_log)
    with world.database.transaction() as connection:
        bootstrap_state(connection, world.project, 0.0)
    look(world)
    return world


def look(world: World, seconds: float = 0.0) -> str:
    world.clock.advance(seconds)
    world.consumed()
    return watch(world.context, current_watermark(world.context))


def current(world: World) -> Experiment:
    with world.database.reading() as connection:
        found = SentinelRepository(connection, world.project).current()
    assert found is not None
    return found


def people(world: World, count: int, love: tuple[float, float] = (0.4, 0.4), adapter: str = "base") -> None:
    """Ordinary people of the champion's, loved by chance; `love`: in the halves that the sentinel splits them into."""
    visits: list[tuple[Interaction, dict[str, float | None]]] = []
    for _ in range(count):
        world.people += 1
        user = f"user-{world.people:06d}"
        treated = assign(current(world), user).arm == "challenger"
        made = Interaction(
            project=world.project, response_id=f"r-{world.people:06d}", conversation_id=user, adapter=adapter,
            created_at=world.clock.now() + world.people * 1e-4, messages=(), answers=(), user_key=user,
        )  # fmt: skip
        visits.append((made, {"love": float(world.draw.random() < love[0 if treated else 1]), "harm": 0.0}))
    world.write(visits)


def counted(world: World) -> dict[tuple[str, str], int]:
    with world.database.reading() as connection:
        return standing_of(connection, current(world)).people


def waiting_alarms(world: World) -> float | None:
    """What the gateway's next scrape says."""
    refresh_experiment_metrics(world.context)
    return REGISTRY.get_sample_value("plaudit_experiment_sentinel_alarms_waiting")


def test_it_counts_the_champions_people_and_finds_nothing(watched: World) -> None:
    for _ in range(3):
        people(watched, 60)
        people(watched, 10, adapter="style@9")
        assert look(watched, 20.0) == ""
    assert look(watched, FREEZE_AFTER + 20.0) == ""
    assert counted(watched)["challenger", "love"] == 180
    assert counted(watched)["challenger", ":people"] == 180
    assert ledger(watched) == []


def test_whatever_depends_on_the_arm_is_an_alarm_until_somebody_looks(watched: World) -> None:
    people(watched, 250, love=(0.9, 0.2))
    assert look(watched, 1.0) == ""
    alarm = look(watched, 2 * FREEZE_AFTER)
    assert alarm == "love of the champion is better than its own, over 250 people"
    row = ledger(watched)[-1]
    assert (row.kind, row.evidence["code"]) == ("hold", "sentinel")
    assert look(watched, 1.0) == alarm  # a new sentinel watches, the alarm stands
    people(watched, 50)
    assert look(watched, 2 * FREEZE_AFTER) == alarm
    with watched.database.reading() as connection:
        assert sentinel_alarm(connection, watched.project) == alarm
    assert waiting_alarms(watched) == 1.0
    assert acknowledge(watched.context, "a test of the alarm") == [alarm]
    assert waiting_alarms(watched) == 0.0, "whoever acknowledged it, and whoever decides"
    assert ledger(watched)[-1].reason == f"acknowledged: {alarm}: a test of the alarm"
    with watched.database.reading() as connection:
        assert sentinel_alarm(connection, watched.project) == ""
    with pytest.raises(NoAlarm):
        acknowledge(watched.context, "again")


def test_a_new_one_begins_with_another_champion_and_when_one_is_full_and_old(watched: World) -> None:
    first = current(watched)
    people(watched, 310)
    look(watched, FREEZE_AFTER)
    people(watched, 50)
    look(watched, 2 * FREEZE_AFTER)
    assert current(watched) == first
    assert counted(watched)["challenger", "love"] == 310  # full: nobody comes in
    look(watched, 8 * 86400.0)
    look(watched)
    second = current(watched)
    assert second.salt != first.salt
    with watched.database.transaction() as connection:
        ExperimentRepository(connection, watched.project).move_champion("style@1", "base", "", watched.clock.now())
    look(watched, 1.0)
    assert current(watched).control == "style@1"
    changed = World(quick(watched.settings, sentinel_people=0), watched.clock, watched.database, watched.event_log)
    assert look(changed) == ""


def test_settings_that_touch_none_of_its_numbers_leave_it_alone(watched: World) -> None:
    """Every change of any setting once began a new test, each with its own chance of a false alarm."""
    first = current(watched)

    def under(**changes: object) -> Experiment:
        settings = quick(watched.settings, **({"sentinel_people": 300} | changes))
        world = World(settings, watched.clock, watched.database, watched.event_log)
        look(world, 1.0)
        return current(world)

    assert under(max_people=77, alpha_promote=0.01, ramp_shares=(0.1, 0.5), max_candidates=2) == first
    elsewhere = watched.settings.model_copy(update={"serving": watched.settings.serving.model_copy(update={"port": 1})})
    look(World(elsewhere, watched.clock, watched.database, watched.event_log), 1.0)
    assert current(watched) == first
    second = under(metric_window_seconds=11.0)
    assert second.salt != first.salt
    assert under(metric_window_seconds=11.0) == second


def test_nothing_is_promoted_while_an_alarm_stands(watched: World) -> None:
    people(watched, 250, love=(0.9, 0.2))
    look(watched, 1.0)
    assert look(watched, 2 * FREEZE_AFTER)
    watched.prove(watched.add_adapter())
    assert watched.look().text.startswith("start")
    watched.write(watched.visits(300, challenger=0.9, control=0.2))
    held = watched.look(2 * FREEZE_AFTER).verdict
    assert held is not None
    assert (held.kind, held.code) == ("hold", "vetoed")
    assert "the sentinel has an alarm" in held.reason
    acknowledge(watched.context, "a test of the veto")
    promoted = watched.look(1.0).verdict
    assert promoted is not None
    assert promoted.kind == "promote"
