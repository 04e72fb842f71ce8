"""Whole experiments on a real store and log: from a waiting challenger to a decision, and everything that must hold."""

import math

import pytest
from msgspec import structs
from sqlalchemy import func, select

from ab_testing.effects import NothingToRevertTo, revert_champion
from ab_testing.metrics import UnknownMetricObjective
from ab_testing.report import experiment_report
from ab_testing.repository import ExperimentRepository
from ab_testing.service import bootstrap_state, decide
from ab_testing.standing import rules_of
from infra.db import Database
from infra.db.tables import adapters, consumer_offsets, exposures, interactions, labels, person_values, serving_state
from infra.event_log.port import EventLog
from infra.runtime import Context
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, GRACE, World, ledger, quick


def state(world: World) -> tuple[str, str]:
    with world.database.reading() as connection:
        row = connection.execute(select(serving_state.c.champion, serving_state.c.last_proven)).one()
    return row.champion, row.last_proven


def adapter_state(world: World, ref: str = "style@1") -> str:
    with world.database.reading() as connection:
        return ExperimentRepository(connection, world.project).adapter_state(ref)


def counted(world: World) -> int:
    """People in the sample ratio."""
    with world.database.reading() as connection:
        report = experiment_report(connection, world.project)
    assert report is not None
    return report.evidence.exposed_challenger + report.evidence.exposed_control


def code(world: World, seconds: float = 0.0) -> str:
    verdict = world.look(seconds).verdict
    return "" if verdict is None else verdict.code


def test_challengers_queue_by_newest_cycle_and_best_gain_and_none_is_lost(world: World) -> None:
    """Two cycles: each challenger has its experiment in the end, one after the other."""
    for version, cycle, gain in ((1, 1, 0.9), (2, 1, None), (3, 3, 0.1), (4, 3, 0.4), (5, 3, 0.4)):
        world.clock.advance(1.0)
        world.prove(world.add_adapter(version=version, cycle=cycle, gain=gain))
    world.add_adapter(version=6, cycle=3, gain=9.0, state="reserve")
    world.add_adapter(name="other", version=7, state="refused")
    order = []
    for _ in range(5):
        look = world.look()
        assert look.verdict is not None
        assert look.verdict.kind == "start"
        order.append(world.experiment().challenger)
        with world.database.transaction() as connection:
            repository = ExperimentRepository(connection, world.project)
            repository.end(world.experiment(), "rolled_back", world.clock.now())
            repository.set_adapter_state(order[-1], "rejected")
        world.clock.advance(1.0)
    assert order == ["style@4", "style@5", "style@3", "style@1", "style@2"]
    assert world.look().verdict is None


def test_a_better_challenger_is_promoted(world: World) -> None:
    world.start()
    world.write(world.visits(300, challenger=0.7, control=0.3))
    assert code(world, FREEZE_AFTER / 2) == "no_values"
    look = world.look(FREEZE_AFTER)
    assert look.frozen == 300
    assert look.verdict is not None
    assert look.verdict.kind == "promote", look.text
    assert state(world) == ("style@1", "base")
    assert adapter_state(world) == "champion"
    assert world.experiment().status == "promoted"
    rows = ledger(world)
    assert [row.kind for row in rows] == ["start", "hold", "promote"]
    assert rows[-1].evidence["metrics"][0]["people_challenger"] > 100  # type: ignore[index]
    assert world.look().verdict is None


def test_promoted_over_a_champion_retires_it(small_world: World) -> None:
    test_a_better_challenger_is_promoted(small_world)
    adapter = small_world.add_adapter(version=2)
    small_world.prove(adapter)
    assert code(small_world) == "start"
    small_world.write(small_world.visits(300, challenger=0.9, control=0.4))
    assert code(small_world, 2 * FREEZE_AFTER) == "better"
    assert state(small_world) == ("style@2", "style@1")
    assert adapter_state(small_world) == "retired"
    assert adapter_state(small_world, "style@2") == "champion"


def test_a_worse_challenger_is_rolled_back(world: World) -> None:
    world.start()
    world.write(world.visits(300, challenger=0.2, control=0.6))
    look = world.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("rollback", "worse")
    assert "love is worse" in look.verdict.reason
    assert state(world) == ("base", "base")
    assert adapter_state(world) == "rejected"


def test_harm_takes_back_a_loved_challenger(small_world: World) -> None:
    small_world.start()
    visits = small_world.visits(400, challenger=0.8, control=0.2, harm_challenger=0.4, harm_control=0.02)
    small_world.write(visits)
    look = small_world.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert look.verdict.kind == "rollback"
    assert "harm is worse" in look.verdict.reason


def test_no_difference_is_stopped_at_the_cap(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    world = World(quick(settings, max_people=300), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    world.write(world.visits(310, challenger=0.3, control=0.3))
    assert code(world, 2 * FREEZE_AFTER) == "max_people"
    assert state(world) == ("base", "base")
    assert adapter_state(world) == "rejected"


def test_the_ramp_grows_and_moves_nobody(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    rules = {"ramp_shares": (0.2, 0.5), "min_people_per_arm": 150}
    world = World(quick(settings, **rules), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    world.write(world.visits(400, challenger=0.5, control=0.3))
    assert code(world, 2 * FREEZE_AFTER) == "ramp"
    assert [phase.share for phase in world.experiment().phases] == [0.2, 0.5]
    world.write(world.visits(500, challenger=0.6, control=0.3))
    assert code(world, 2 * FREEZE_AFTER) == "better"
    with world.database.reading() as connection:
        report = experiment_report(connection, world.project)
    assert report is not None
    assert report.evidence.flips == 0


def test_with_few_people_an_experiment_begins_further_up_the_ramp(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    """60 people in an hour are 1,440 a day: a thousandth of them would take months to show a hundred people."""
    rules = {"ramp_shares": (0.001, 0.25, 0.5), "min_people_per_phase": 100}
    world = World(quick(settings, **rules), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    assert world.experiment().phase.share == 0.001, "nobody was seen, so nothing is known"
    world.write([(structs.replace(made, arm=None, experiment=None), {}) for made, _ in
                 world.visits(60, challenger=0.5, control=0.5)])  # fmt: skip
    with world.database.transaction() as connection:
        ExperimentRepository(connection, world.project).end(world.experiment(), "rolled_back", world.clock.now())
    world.add_adapter(version=2)
    look = world.look(3600.0)
    assert look.verdict is not None
    assert "at share 0.25" in look.verdict.reason
    assert rules_of(world.experiment()).ramp_shares == (0.25, 0.5)


def test_without_proof_nothing_moves_and_a_refused_one_stops(small_world: World) -> None:
    adapter = small_world.add_adapter()
    assert code(small_world) == "start"
    small_world.write(small_world.visits(300, challenger=0.9, control=0.1))
    assert code(small_world, 2 * FREEZE_AFTER) == "unproven"
    started = small_world.experiment().started_at
    small_world.prove(adapter, "refused", reason="a disk was full")
    held = small_world.look(700.0 - small_world.clock.now() + started)
    assert held.verdict is not None
    assert held.verdict.code == "unproven", "one replica, once, before the others had ten minutes, and never again"
    small_world.prove(adapter, "unloaded")
    small_world.prove(adapter, "refused", replica="two", reason="nearest to base")
    look = small_world.look(1.0)
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("stop", "proof_refused")
    assert "two: nearest to base" in look.verdict.reason
    assert adapter_state(small_world) == "rejected"


def test_one_proven_replica_is_enough(small_world: World) -> None:
    adapter = small_world.add_adapter()
    small_world.prove(adapter, "refused", replica="two")
    small_world.prove(adapter, "indistinguishable", replica="one")
    assert code(small_world) == "start"
    assert code(small_world) == "no_values"


def test_stale_and_missing_watermarks_hold(small_world: World) -> None:
    small_world.add_adapter()
    unread = decide(small_world.context)
    assert unread.text.startswith("hold: no start: some partition of the log was never read")
    small_world.consumed()
    small_world.clock.advance(301.0)
    assert decide(small_world.context).text.startswith("hold: no start: the watermark is older than 300 s")
    assert ledger(small_world) == [], "nobody meets a challenger of whom nothing would be seen"
    assert code(small_world) == "start"
    small_world.prove("style@1")
    with small_world.database.transaction() as connection:
        connection.execute(consumer_offsets.delete())
    verdict = decide(small_world.context).verdict
    assert verdict is not None
    assert verdict.code == "no_watermark"
    small_world.write(small_world.visits(300, challenger=0.9, control=0.1))
    small_world.consumed(at=small_world.clock.now())
    small_world.clock.advance(1000.0)
    stale = decide(small_world.context)
    assert stale.verdict is not None
    assert (stale.verdict.kind, stale.verdict.code, stale.frozen) == ("hold", "stale", 0)
    assert code(small_world) == "better"


def test_a_hold_is_written_once_for_each_reason(small_world: World) -> None:
    small_world.start()
    for _ in range(5):
        small_world.look(1.0)
    assert [row.evidence["code"] for row in ledger(small_world)] == ["start", "no_values"]


def test_open_labels_keep_everybody_behind_them_waiting(small_world: World) -> None:
    small_world.start()
    visits = small_world.visits(100, challenger=0.5, control=0.5)
    small_world.write(visits[:40])
    small_world.write(visits[40:41], final=False)
    small_world.write(visits[41:])
    assert small_world.look(2 * FREEZE_AFTER).frozen == 40
    interaction, values = visits[40]
    with small_world.database.transaction() as connection:
        row = small_world.label(interaction, values, 1, small_world.clock.now())
        connection.execute(labels.insert().values(**row))
    assert small_world.look(1.0).frozen == 60


def test_what_was_counted_never_changes(small_world: World) -> None:
    """A label remade after freezing reaches no running test; one remade in time does."""
    small_world.start()
    visits = small_world.visits(2, challenger=0.0, control=0.0)
    small_world.write(visits)

    def remake(number: int, version: int, seconds: float) -> None:
        interaction = visits[number][0]
        row = small_world.label(interaction, {"love": 1.0, "harm": 0.0}, version, interaction.created_at + seconds)
        with small_world.database.transaction() as connection:
            connection.execute(labels.insert().values(**row))

    remake(0, 2, FREEZE_AFTER - 1)
    remake(1, 2, FREEZE_AFTER + 1)
    small_world.look(2 * FREEZE_AFTER)
    remake(0, 3, FREEZE_AFTER + 2)
    small_world.look(1.0)
    with small_world.database.reading() as connection:
        query = select(person_values.c.user_key, person_values.c.value).where(person_values.c.metric == "love")
        found = {row.user_key: row.value for row in connection.execute(query)}
    assert found == {"user-000001": 1.0, "user-000002": 0.0}


def test_people_in_both_arms_are_counted_and_excluded(small_world: World) -> None:
    small_world.start()
    visits = small_world.visits(100, challenger=0.5, control=0.5)
    small_world.write(visits)
    with small_world.database.transaction() as connection:
        for n, (interaction, _values) in enumerate(visits[:5]):
            arm = "control" if interaction.arm == "challenger" else "challenger"
            row = dict(connection.execute(select(interactions).limit(1)).mappings().one())
            row |= {"response_id": f"other-{n}", "user_key": interaction.user_key, "arm": arm,
                    "created_at": interaction.created_at + 1}  # fmt: skip
            connection.execute(interactions.insert().values(**row))
    look = small_world.look(2 * FREEZE_AFTER)
    assert look.frozen == 95
    assert look.verdict is not None
    assert look.verdict.code == "arm_flips"


def test_a_sample_ratio_mismatch_never_promotes(small_world: World) -> None:
    small_world.start()
    visits = small_world.visits(500, challenger=0.9, control=0.3)
    lost = [v for v in visits if v[0].arm == "control"][::2]
    small_world.write([visit for visit in visits if visit not in lost])
    look = small_world.look(2 * FREEZE_AFTER)
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("hold", "sample_ratio_mismatch")


def test_feedback_rate_is_of_signals_received_in_time(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    metrics = (
        {"name": "love", "objective": "love", "role": "goal"},
        {"name": "rate", "objective": "feedback", "role": "guardrail", "missing": "zero", "delta": 0.2},
    )
    world = World(quick(settings, metrics=metrics), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    visits = world.visits(4, challenger=0.5, control=0.5)
    world.write(visits)
    world.feedback(visits[0][0], "like", world.clock.now() + 5)
    world.feedback(visits[1][0], "shown", world.clock.now() + 5)
    world.feedback(visits[1][0], "dwell", world.clock.now() + 5)
    world.feedback(visits[2][0], "like", world.clock.now() + FREEZE_AFTER + 1)
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        query = select(person_values.c.value).where(person_values.c.metric == "rate").order_by(person_values.c.user_key)
        assert list(connection.execute(query).scalars()) == [1.0, 0.0, 0.0, 0.0]


def test_a_champion_moved_by_hand_ends_the_comparison(small_world: World) -> None:
    test_a_better_challenger_is_promoted(small_world)
    small_world.prove(small_world.add_adapter(version=2))
    assert code(small_world) == "start"
    decision = revert_champion(small_world.context, "complaints")
    assert decision.kind == "rollback"
    assert state(small_world) == ("base", "base")
    assert code(small_world) == "champion_changed"
    assert adapter_state(small_world, "style@2") == "challenger"
    assert code(small_world) == "start"
    assert small_world.experiment().control == "base"
    with pytest.raises(NothingToRevertTo):
        revert_champion(small_world.context, "again")


def test_before_another_base_the_champion_retires_and_the_base_serves(small_world: World) -> None:
    test_a_better_challenger_is_promoted(small_world)
    small_world.prove(small_world.add_adapter(version=2))
    assert code(small_world) == "start"
    decision = revert_champion(small_world.context, "base model upgrade", to_base=True)
    assert (decision.kind, decision.evidence["to"]) == ("rollback", "base")
    assert state(small_world) == ("base", "base")
    assert adapter_state(small_world, "style@1") == "retired", "nothing speaks against it"
    assert code(small_world) == "champion_changed"
    with pytest.raises(NothingToRevertTo):
        revert_champion(small_world.context, "again", to_base=True)


def test_a_withdrawn_challenger_ends_its_experiment(small_world: World) -> None:
    small_world.start()
    with small_world.database.transaction() as connection:
        connection.execute(adapters.update().values(state="refused"))
    assert code(small_world) == "challenger_withdrawn"
    assert adapter_state(small_world) == "refused"


def test_bootstrap_is_idempotent(world: World) -> None:
    for _ in range(2):
        with world.database.transaction() as connection:
            bootstrap_state(connection, world.project, 5.0)
    assert state(world) == ("base", "base")
    assert decide(world.context).verdict is None


def test_a_misnamed_metric_starts_nothing(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    wrong = ({"name": "love", "objective": "lvoe", "role": "goal"},)
    world = World(quick(settings, metrics=wrong), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.add_adapter()
    with pytest.raises(UnknownMetricObjective):
        world.look()


def test_rules_stand_as_they_were_at_the_start(small_world: World) -> None:
    small_world.start()
    changed = Context(
        quick(small_world.settings, alpha_promote=1e-9), small_world.clock, small_world.database, small_world.event_log
    )
    small_world.write(small_world.visits(300, challenger=0.7, control=0.3))
    small_world.clock.advance(2 * FREEZE_AFTER)
    small_world.consumed()
    verdict = decide(changed).verdict
    assert verdict is not None
    assert verdict.kind == "promote"


def test_a_crash_before_the_commit_leaves_nothing(small_world: World) -> None:
    """The lease is asked in every writing transaction: refused at any of them, the next look comes to the same."""
    small_world.start()
    small_world.write(small_world.visits(300, challenger=0.7, control=0.3))
    small_world.clock.advance(2 * FREEZE_AFTER)
    small_world.consumed()
    crashed = 0
    for fatal in range(1, 20):
        writes = 0

        def crash(_connection: object, fatal: int = fatal) -> None:
            nonlocal writes
            writes += 1
            if writes == fatal:
                raise RuntimeError("killed")

        before = len(ledger(small_world)), state(small_world)
        try:
            look = decide(small_world.context, crash)
        except RuntimeError:
            crashed += 1
            assert (len(ledger(small_world)), state(small_world)) == before
            continue
        assert look.verdict is not None
        assert look.verdict.kind == "promote"
        break
    assert crashed >= 1
    assert [row.kind for row in ledger(small_world)] == ["start", "promote"]
    assert state(small_world) == ("style@1", "base")


def test_nobody_is_seen_beyond_the_watermark(small_world: World) -> None:
    """One partition may be ahead of another: what lies after the watermark of all waits."""
    small_world.start()
    small_world.write(small_world.visits(30, challenger=0.5, control=0.5))
    small_world.consumed(at=small_world.clock.now() + 20.5e-4)
    small_world.clock.advance(1.0)
    decide(small_world.context)
    with small_world.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(exposures)).scalar() == 20
    assert counted(small_world) == 0
    small_world.look(GRACE - 2)
    assert counted(small_world) == 0
    small_world.look(1.1)
    assert counted(small_world) == 30


def test_one_of_many_challengers_needs_more_than_one_alone(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    """The first of a million needs an e-value of 20,000; alone it would need 20, and have it."""
    world = World(quick(settings, fdr_horizon=1_000_000), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    world.write(world.visits(80, challenger=0.7, control=0.2))
    assert code(world, 2 * FREEZE_AFTER) == "discovery_open"
    found = ledger(world)[-1].evidence["discovery"]
    assert found["position"] == 1  # type: ignore[index]
    assert found["log_threshold"] == pytest.approx(math.log(1998.54 / 0.1), abs=1e-4)  # type: ignore[index]
    world.write(world.visits(200, challenger=0.7, control=0.2))
    assert code(world, 2 * FREEZE_AFTER) == "better"


def test_a_spent_budget_starts_nothing_and_says_so_once(
    settings: Settings, sqlite_database: Database, event_log: EventLog, clock: object
) -> None:
    rules = {"fdr_horizon": 1, "max_people": 100}
    world = World(quick(settings, **rules), clock, sqlite_database, event_log)  # type: ignore[arg-type]
    world.start()
    world.write(world.visits(110, challenger=0.3, control=0.3))
    assert code(world, 2 * FREEZE_AFTER) == "max_people"
    world.prove(world.add_adapter(version=2))
    assert [code(world, 1.0) for _ in range(3)] == ["discoveries_exhausted"] * 3
    assert [row.kind for row in ledger(world)] == ["start", "stop", "hold"]
    assert adapter_state(world, "style@2") == "challenger"
    later = quick(settings, **rules, fdr_since=world.clock.now() - 1.0)
    renewed = World(later, world.clock, sqlite_database, event_log)
    assert code(renewed) == "start"
