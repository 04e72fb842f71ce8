"""Commands: what waits while an experiment is paused, and how one ends by a person's word."""

from collections.abc import Callable

import pytest

from ab_testing.control import NoSuchExperiment, NotInThatState, command
from ab_testing.discoveries import stream_of
from ab_testing.effects import revert_champion
from ab_testing.freezing import freeze_up_to
from ab_testing.looking import current_watermark, rules_of, situations_of, weigh
from ab_testing.repository import ExperimentRepository
from ab_testing.service import Overtaken, bootstrap_state, write
from infra.contracts import Decision
from tests.ab_testing.world import FREEZE_AFTER, World, ledger


def adapter_state(world: World) -> str:
    with world.database.reading() as connection:
        return ExperimentRepository(connection, world.project).adapter_state("style@1")


def test_paused_nothing_is_promoted_and_resumed_it_is(small_world: World) -> None:
    small_world.start()
    small_world.write(small_world.visits(300, challenger=0.7, control=0.3))
    paused = command(small_world.context, "pause", "holidays")
    assert paused.reason == "paused: holidays"
    assert [small_world.look(FREEZE_AFTER).text[:12] for _ in range(2)] == ["hold: paused"] * 2
    with pytest.raises(NotInThatState, match="paused already"):
        command(small_world.context, "pause", "again")
    command(small_world.context, "resume", "back", small_world.experiment().experiment_id)
    assert small_world.experiment().config["paused_seconds"] == 2 * FREEZE_AFTER
    assert small_world.look(1.0).text.startswith("promote")
    assert [row.kind for row in ledger(small_world)] == ["start", "pause", "resume", "promote"]
    with pytest.raises(NoSuchExperiment):
        command(small_world.context, "resume", "again")


def test_harm_ends_a_paused_experiment(small_world: World) -> None:
    small_world.start()
    command(small_world.context, "pause", "holidays")
    small_world.write(small_world.visits(300, challenger=0.2, control=0.6))
    assert small_world.look(2 * FREEZE_AFTER).text.startswith("rollback")


@pytest.mark.parametrize(("keep", "state"), [(False, "rejected"), (True, "challenger")])
def test_aborted_the_champion_stays_and_the_evidence_counts(small_world: World, keep: bool, state: str) -> None:
    small_world.start()
    small_world.write(small_world.visits(60, challenger=0.5, control=0.4))
    small_world.look(2 * FREEZE_AFTER)
    seen: list[Decision] = []
    row = command(
        small_world.context,
        "abort",
        "wrong prompt",
        keep=keep,
        witness=lambda _connection, decision: seen.append(decision),
    )
    assert seen == [row]
    assert small_world.experiment().status == "stopped"
    assert adapter_state(small_world) == state
    (known,) = stream_of(ledger(small_world))
    assert known.log_e == pytest.approx(dict(row.evidence["metrics"][0])["log_e_better"])  # type: ignore[index]
    assert (small_world.look().verdict is None) is (not keep)


def test_a_witness_that_fails_leaves_nothing(small_world: World) -> None:
    small_world.start()

    def fails(_connection: object, _decision: Decision) -> None:
        raise RuntimeError("no audit")

    with pytest.raises(RuntimeError, match="no audit"):
        command(small_world.context, "abort", "x", witness=fails)
    assert small_world.experiment().status == "running"
    assert [row.kind for row in ledger(small_world)] == ["start"]


def revert(world: World) -> None:
    revert_champion(world.context, "just now")


def withdraw(world: World) -> None:
    with world.database.transaction() as connection:
        ExperimentRepository(connection, world.project).set_adapter_state("style@1", "rejected")


def abort(world: World) -> None:
    command(world.context, "abort", "just now")


@pytest.mark.parametrize(
    ("act", "rows", "champion"),
    [(abort, ["start", "abort"], "old@1"), (revert, ["start", "rollback"], "base"), (withdraw, ["start"], "old@1")],
)
def test_a_command_between_reading_and_writing_wins(
    small_world: World, act: Callable[[World], None], rows: list[str], champion: str
) -> None:
    """The look that was about to promote finds the experiment aborted, the champion reverted, the challenger gone."""
    small_world.add_adapter("old", state="champion")
    with small_world.database.transaction() as connection:
        bootstrap_state(connection, small_world.project)
        ExperimentRepository(connection, small_world.project).move_champion("old@1", "base", "", 0.0)
    small_world.start()
    small_world.write(small_world.visits(300, challenger=0.7, control=0.3))
    small_world.clock.advance(2 * FREEZE_AFTER)
    small_world.consumed()
    experiment, context, now = small_world.experiment(), small_world.context, small_world.clock.now()
    freeze_up_to(context.database, context.database.transaction, experiment, rules_of(experiment), FREEZE_AFTER, now)
    with context.database.reading() as connection:
        situations = situations_of(context, connection, experiment, current_watermark(context), now)
        verdict, passed = weigh(connection, experiment, situations)
    assert verdict.kind == "promote"
    act(small_world)
    with pytest.raises(Overtaken), context.database.transaction() as connection:
        write(context, connection, experiment, situations, verdict, passed)
    assert [row.kind for row in ledger(small_world)] == rows
    with context.database.reading() as connection:
        assert ExperimentRepository(connection, small_world.project).champion() == champion
