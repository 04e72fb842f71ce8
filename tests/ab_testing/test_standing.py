"""What is kept as sums is what all rows at once would say: whatever the looks, whoever comes late, whatever crashes."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import delete, func, select

from ab_testing.evidence import ExposedPeople, PersonValues, gather
from ab_testing.repository import ExperimentRepository
from ab_testing.service import decide
from ab_testing.standing import MetricReplay, Standing, evidence_of, rules_of, standing_of
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Interaction, ManualClock
from infra.db import Database
from infra.db.tables import experiment_states, experiments, exposures, interactions, person_values
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, quick

METRICS = (
    {"name": "love", "objective": "love", "role": "goal"},
    {"name": "harm", "objective": "harm", "role": "guardrail", "direction": "lower", "missing": "zero", "delta": 0.1},
    {"name": "share", "objective": "love", "role": "goal", "aggregate": "ratio", "missing": "zero", "cap": 3.0},
    {"name": "rate", "objective": "feedback", "role": "guardrail", "missing": "zero", "delta": 0.2},
)


def undecided(settings: Settings, clock: object, database: Database, event_log: EventLog, **more: object) -> World:
    rules = {"min_people_per_arm": 10_000, "alpha_rollback": 1e-9, "metrics": METRICS} | more
    return World(quick(settings, **rules), clock, database, event_log)  # type: ignore[arg-type]


def from_scratch(world: World, candidate: str = "challenger") -> dict[str, object]:
    """The evidence of all rows at once, made by the arrays of `ab_testing.evidence`."""
    experiment = world.experiment()
    rules = rules_of(experiment)
    with world.database.reading() as connection:
        repository = ValuesRepository(connection, world.project, experiment.experiment_id)
        rows, people = repository.values(candidate), repository.exposed()
    values = {metric.name: PersonValues.of(rows.get(metric.name, []), candidate) for metric in rules.metrics}
    counted = [p for p in people if p.arm in (candidate, "control") and p.stage != 0]
    exposed = ExposedPeople.of([("challenger" if p.arm == candidate else p.arm, p.phase, p.arms_seen) for p in counted])
    found = gather(rules, values, exposed, experiment.phase.index)
    return found.document()


def late_effect(world: World, metric: str) -> float:
    """Among the later half of the people, from all rows."""
    with world.database.reading() as connection:
        rows = ValuesRepository(connection, world.project, world.experiment().experiment_id).values()[metric]
    people = PersonValues.of(rows)
    half = people.values.shape[0] // 2
    arms, values = people.in_challenger[half:], people.values[half:]
    return float(values[arms].mean() - values[~arms].mean())


def assert_same(world: World, candidate: str = "challenger") -> None:
    with world.database.reading() as connection:
        found = evidence_of(connection, world.experiment())[candidate].document()
    expected = from_scratch(world, candidate)
    for name in ("exposed_challenger", "exposed_control", "unusable"):
        assert found[name] == expected[name], name
    assert found["log_e_sample_ratio"] == pytest.approx(expected["log_e_sample_ratio"], abs=1e-9)
    for one, other in zip(found["metrics"], expected["metrics"], strict=True):  # type: ignore[call-overload]
        for name, value in other.items():
            if name.startswith(("log_e", "rate", "people", "least")):
                assert one[name] == pytest.approx(value, abs=1e-9), (one["name"], name)


def again(world: World, visits: Sequence[tuple[Interaction, dict[str, float | None]]], seconds: float) -> None:
    """A second answer for some people, some of it later."""
    import msgspec

    more = []
    for interaction, _values in visits:
        label = {"love": float(world.draw.random() < 0.5), "harm": 0.0}
        made = msgspec.structs.replace(
            interaction, response_id=f"{interaction.response_id}-2", created_at=interaction.created_at + seconds
        )
        more.append((made, label))
    world.write(more)


def test_looks_come_to_what_all_rows_say(
    settings: Settings, clock: ManualClock, database: Database, event_log: EventLog
) -> None:
    world = undecided(settings, clock, database, event_log)
    world.start()
    for _ in range(6):
        visits = world.visits(40, challenger=0.5, control=0.3, harm_challenger=0.1, harm_control=0.1)
        world.write(visits)
        again(world, visits[::3], 4.0)
        for interaction, _values in visits[::5]:
            world.feedback(interaction, "like", world.clock.now() + 1)
        world.look(12.0)
        assert_same(world)
    world.look(FREEZE_AFTER)
    assert_same(world)
    with world.database.reading() as connection:
        rows = ValuesRepository(connection, world.project, world.experiment().experiment_id).states()
        frozen = connection.execute(select(func.count()).select_from(person_values)).scalar()
        love = evidence_of(connection, world.experiment())["challenger"].metrics[0]
    assert frozen == 4 * 240
    assert max(len(row.state) for row in rows) <= 1024
    assert {row.metric for row in rows} > {"love", "harm", "share", "rate", ":people", ":arrivals"}
    assert love.newest_challenger is not None
    assert love.counted_through is not None
    assert love.newest_challenger <= love.counted_through
    rules = rules_of(world.experiment())
    with world.database.reading() as connection:
        frozen_rows = ValuesRepository(connection, world.project, world.experiment().experiment_id).values()
        found = evidence_of(connection, world.experiment())["challenger"].metrics
    for metric, state in zip(rules.metrics, found, strict=True):
        replay = MetricReplay(world.experiment(), metric, "challenger", frozen_rows[metric.name])
        assert replay.after(17, 0).people_control + replay.after(17, 0).people_challenger == 17
        repeated = replay.after(state.people_challenger + state.people_control, 0)
        kept = {"effect_without_top": state.effect_without_top, "counted_through": state.counted_through}
        assert replace(repeated, **kept) == state  # to the last bit
    assert love.effect_late == pytest.approx(late_effect(world, "love"), abs=0.1)


def test_each_candidate_has_its_own_pair_with_the_control(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    world = undecided(settings, clock, sqlite_database, event_log, ramp_shares=(0.25,))
    world.start()
    with world.database.transaction() as connection:
        connection.execute(experiments.update().values(others=["style@2"]))
    world.write(world.visits(400, challenger=0.5, control=0.3))
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        found = evidence_of(connection, world.experiment())
    assert list(found) == ["challenger", "challenger-2"]
    assert found["challenger"].exposed_control == found["challenger-2"].exposed_control > 60
    assert found["challenger"].exposed_challenger != found["challenger-2"].exposed_challenger > 60
    for candidate in found:
        assert_same(world, candidate)


def test_a_crash_between_any_two_writes_changes_nothing(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    """Killed in every writing transaction in turn, before or after what it writes: the sums count everybody once."""
    world = undecided(settings, clock, sqlite_database, event_log)
    world.start()
    world.write(world.visits(500, challenger=0.5, control=0.3))
    world.clock.advance(2 * FREEZE_AFTER)
    world.consumed()
    survived = 0
    for _ in range(30):
        writes = 0

        def crash(_connection: object) -> None:
            nonlocal writes
            writes += 1
            if writes == 2:  # one transaction a life
                raise RuntimeError("killed")

        try:
            decide(world.context, crash)
        except RuntimeError:
            survived += 1
            assert_same(world)
            continue
        break
    assert survived >= 4
    assert_same(world)
    with world.database.reading() as connection:
        assert standing_of(connection, world.experiment()).people["challenger", "love"] == 500


def test_who_comes_late_is_found_without_looking_at_everybody(
    settings: Settings, clock: ManualClock, database: Database, event_log: EventLog
) -> None:
    """An answer that reaches the store a day after its time is counted, behind everybody counted before."""
    world = undecided(settings, clock, database, event_log)
    world.start()
    visits = world.visits(60, challenger=0.5, control=0.3)
    world.write(visits[:50])
    world.look(2 * FREEZE_AFTER)
    first = standing(world).people["challenger", "love"]
    world.clock.advance(86400.0)
    world.look(0.0)
    world.write(visits[50:])
    with world.database.reading() as connection:
        repository = ValuesRepository(connection, world.project, world.experiment().experiment_id)
        new = repository.arrivals(world.clock.now() - 100.0, world.clock.now())
    assert new == sorted(interaction.user_key for interaction, _values in visits[50:])  # type: ignore[type-var]
    world.look(0.0)
    assert (first, standing(world).people["challenger", "love"]) == (50, 60)
    assert_same(world)
    with world.database.reading() as connection:
        rows = connection.execute(select(person_values.c.user_key, person_values.c.frozen_at)).all()
    order = [user for _at, user in sorted({(row.frozen_at, row.user_key) for row in rows})]
    assert order == [interaction.user_key for interaction, _values in visits]


def test_erasing_people_leaves_the_sums(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    world = undecided(settings, clock, sqlite_database, event_log)
    world.start()
    world.write(world.visits(100, challenger=0.5, control=0.3))
    world.look(2 * FREEZE_AFTER)
    before = standing(world)
    gone = "user-000100"  # the last one counted: the frontier must not fall back
    with world.database.transaction() as connection:
        for table in (interactions, exposures, person_values):
            connection.execute(delete(table).where(table.c.user_key == gone))
        assert "user_key" not in experiment_states.columns
        assert not any(gone.encode() in row.state for row in connection.execute(select(experiment_states)))
    world.look(1.0)
    assert standing(world).people == before.people
    world.write(world.visits(20, challenger=0.5, control=0.3))
    world.look(2 * FREEZE_AFTER)
    assert standing(world).people["challenger", "love"] == 120


def test_without_the_most_active_people(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    world = undecided(settings, clock, sqlite_database, event_log, stability_top_people=2)
    world.start()
    visits = world.visits(100, challenger=0.0, control=0.0)
    loud = [visit for visit in visits if visit[0].arm == "challenger"][:2]
    for _interaction, values in loud:
        values["love"] = 1.0
    world.write(visits)
    for interaction, _values in loud:
        for signal in ("like", "copy", "share"):
            world.feedback(interaction, signal, world.clock.now() + 1)
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        love = evidence_of(connection, world.experiment())["challenger"].metrics[0]
    assert love.rate_challenger == pytest.approx(2 / love.people_challenger)
    assert love.effect_without_top == 0.0


def test_broken_numbers_make_the_evidence_unusable_and_are_in_no_sum(small_world: World) -> None:
    small_world.start()
    visits = small_world.visits(30, challenger=0.0, control=0.0)
    visits[3][1]["harm"] = -3.0
    rules = quick(small_world.settings, metrics=({**METRICS[0]}, {**METRICS[1], "aggregate": "mean"}))
    world = World(rules, small_world.clock, small_world.database, small_world.event_log)
    with world.database.transaction() as connection:
        experiment = world.experiment()
        config = experiment.config | {"rules": rules.ab_testing.model_dump(mode="json")}
        connection.execute(experiments.update().values(config=config))
    world.write(visits)
    look = world.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert look.verdict.code == "not_a_number"
    assert (
        standing(world).metrics["challenger", "harm"].sums[1] + standing(world).metrics["challenger", "harm"].sums[3]
        == 29
    )


def test_segments_are_watched_apart(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    world = undecided(settings, clock, sqlite_database, event_log, segments=("daytime", "device", "turn"))
    world.start()
    world.write(world.visits(60, challenger=0.5, control=0.3))
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        found = evidence_of(connection, world.experiment())["challenger"]
    assert set(found.log_e_sample_ratio_segments) == {"daytime=evening", "device=unknown", "turn=first"}
    assert found.log_e_sample_ratio_segments["turn=first"] == pytest.approx(found.log_e_sample_ratio, abs=1e-12)


def standing(world: World) -> Standing:
    with world.database.reading() as connection:
        assert ExperimentRepository(connection, world.project).newest() is not None
        return standing_of(connection, world.experiment())
