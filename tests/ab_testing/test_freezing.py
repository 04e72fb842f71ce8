"""Each metric freezes when its own window closes; what was before exposure is known from before exposure only."""

import msgspec
import pytest
from sqlalchemy import select

from ab_testing.exposures import metric_groups
from ab_testing.standing import evidence_of, rules_of
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Interaction, ManualClock
from infra.db import Database
from infra.db.tables import exposures, person_values
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, GRACE, LATENESS, METRIC_WINDOW, World, quick

DAY = 100.0
METRICS = (
    {"name": "love", "objective": "love", "role": "goal", "aggregate": "mean"},
    {"name": "early", "objective": "love", "role": "goal", "aggregate": "sum", "window_seconds": 3.0, "cap": 2.0},
    {"name": "back", "objective": "return", "role": "guardrail", "delta": 0.2},
    {"name": "rate", "objective": "feedback", "role": "guardrail", "missing": "zero", "delta": 0.2},
)


@pytest.fixture
def long_world(settings: Settings, clock: ManualClock, database: Database, event_log: EventLog) -> World:
    """Days of 100 seconds; people return on days 1 to 2."""
    tree = quick(settings, metrics=METRICS, min_people_per_arm=10_000, covariate_days=2.0).model_dump()
    tree["ingest"]["validity"] |= {"day_seconds": DAY, "return_days": 2}
    return World(Settings(**tree), clock, database, event_log)


def beside(interaction: Interaction, number: int, at: float) -> Interaction:
    """Another answer to the same person, outside any experiment."""
    return msgspec.structs.replace(
        interaction, response_id=f"{interaction.response_id}-{number}", created_at=at, experiment=None, arm=None,
        propensity=None, phase=None,
    )  # fmt: skip


def frozen(world: World, metric: str) -> dict[str, tuple[float | None, float | None]]:
    """User -> value and covariate."""
    columns = person_values.c
    with world.database.reading() as connection:
        rows = connection.execute(
            select(columns.user_key, columns.value, columns.covariate).where(columns.metric == metric)
        )
        return {row.user_key: (row.value, row.covariate) for row in rows}


def test_groups_freeze_one_after_the_other(long_world: World) -> None:
    world = long_world
    experiment = world.start()
    groups = metric_groups(experiment, rules_of(experiment), 0.0)
    assert [[metric.name for metric in group.metrics] for group in groups] == [["early"], ["love", "rate"], ["back"]]
    assert [group.freeze_after for group in groups] == [
        FREEZE_AFTER - METRIC_WINDOW + 3.0,
        FREEZE_AFTER,
        3 * DAY + LATENESS + GRACE,
    ]
    visits = world.visits(4, challenger=1.0, control=1.0)
    world.write(visits)
    one, two, three, _four = [interaction for interaction, _values in visits]
    start = one.created_at
    world.write([(msgspec.structs.replace(one, response_id="again", created_at=start + 4.0), {"love": 0.0})])
    today = start // DAY * DAY
    later = {one: today + DAY - 0.5, two: today + 2.5 * DAY, three: today + 3.5 * DAY}  # same day, day 2, too late
    world.write([(beside(who, 1, at), {"love": 1.0}) for who, at in later.items()])
    assert world.look(FREEZE_AFTER - METRIC_WINDOW + 4.0).frozen == 4
    assert frozen(world, "love") == {}
    assert {value for value, _before in frozen(world, "early").values()} == {0.5}  # one love of at most two
    assert world.look(METRIC_WINDOW).frozen == 4
    assert [value for value, _before in frozen(world, "love").values()] == [0.5, 1.0, 1.0, 1.0]
    assert frozen(world, "back") == {}
    assert world.look(3 * DAY).frozen == 4
    assert [value for value, _before in frozen(world, "back").values()] == [0.0, 1.0, 0.0, 0.0]
    with world.database.reading() as connection:
        found = evidence_of(connection, world.experiment())["challenger"].metrics
        stages = connection.execute(select(exposures.c.stage)).scalars().all()
    assert stages == [4, 4, 4, 4]
    by_name = {metric.name: metric for metric in found}
    assert by_name["back"].counted_through == pytest.approx(by_name["love"].counted_through + 260.0)  # type: ignore[operator]


def test_covariates_are_what_was_known_before_the_first_answer(long_world: World) -> None:
    world = long_world
    world.start()
    visits = world.visits(3, challenger=1.0, control=1.0)
    world.write(visits)
    one, two, _three = [interaction for interaction, _values in visits]
    known, unknown = one.created_at - 150.0, one.created_at - 10.0  # the label of the second is made too late
    for number, (who, at, love) in enumerate(
        [(one, known, 1.0), (one, known - 5.0, 0.0), (one, unknown, 1.0), (two, known - 100.0, 1.0)]
    ):
        made = beside(who, number, at)
        world.write([(made, {"love": love})])
        world.feedback(made, "like", at + 1.0)
    world.look(FREEZE_AFTER + 1.0)
    assert [before for _value, before in frozen(world, "love").values()] == [0.5, None, None]
    assert [before for _value, before in frozen(world, "rate").values()] == [1.0, None, None]
    world.look(3 * DAY)
    assert [before for _value, before in frozen(world, "back").values()] == [1.0, 0.0, 0.0]


def test_a_covariate_shortens_the_wait(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    """The same people with and without what is known from before: the intervals differ as their residuals do."""
    widths = {}
    metrics = ({"name": "love", "objective": "love", "role": "goal", "aggregate": "mean", "missing": "zero"},)
    world = World(
        quick(settings, metrics=metrics, min_people_per_arm=10_000, covariate_days=10.0),
        clock, sqlite_database, event_log,
    )  # fmt: skip
    world.start()
    visits = world.visits(400, challenger=0.5, control=0.5)
    world.write(visits)
    world.write([(beside(made, 1, made.created_at - 100.0), values) for made, values in visits])
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        experiment = world.experiment()
        adjusted = evidence_of(connection, experiment)["challenger"].metrics[0]
        rows = ValuesRepository(connection, world.project, experiment.experiment_id).values()["love"]
    assert adjusted.low is not None
    assert adjusted.high is not None
    widths["adjusted"] = adjusted.high - adjusted.low
    from ab_testing.evidence import PersonValues, effect_of

    plain = effect_of(PersonValues.of(rows))
    widths["plain"] = float(plain.high[-1] - plain.low[-1])
    assert widths["adjusted"] < 0.5 * widths["plain"]
