"""`plaudit ab-testing status`, `explain`, `pause`, `resume`, `abort` and `verify-ledger` as a person meets them."""

from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from ab_testing.repository import ExperimentRepository
from ab_testing.sentinel import new_sentinel
from ab_testing.sentinel_repository import SentinelRepository
from infra.contracts import ManualClock, PlauditError
from infra.db.tables import decisions, sentinels
from infra.runtime import open_context
from infra.settings import load_settings
from ingest.access.service import audit_trail
from plaudit.cli import app
from tests.ab_testing.world import FREEZE_AFTER, World, quick

PHRASES = ("harm", "no worse by its margin", "the stream asks")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A challenge with a hundred people whose values are frozen."""
    file = tmp_path / "plaudit.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    clock = ManualClock()
    context = open_context(load_settings(file), clock)
    found = World(quick(context.settings), clock, context.database, context.event_log)
    found.start()
    found.write(found.visits(100, challenger=0.5, control=0.4))
    assert found.look(2 * FREEZE_AFTER).text.startswith("hold: not enough evidence")
    return found


def ask(tmp_path: Path, *arguments: str, code: int = 0) -> str:
    config = str(tmp_path / "plaudit.toml")
    done = CliRunner().invoke(app, ["--config", config, "ab-testing", *arguments], env={"COLUMNS": "200"})
    if done.exit_code != code:
        raise done.exception or AssertionError(done.output)
    return done.output


def test_status_shows_arms_tests_and_what_it_waits_for(world: World, tmp_path: Path) -> None:
    told = ask(tmp_path, "status")
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.strip()}
    assert lines["challenger"][1] == "style@1"
    assert lines["control"][1] == "base"
    assert int(lines["challenger"][2]) + int(lines["control"][2]) == 100
    assert {"harm", "no worse by its margin", "the stream asks"} <= {word for word in PHRASES if word in told}
    assert "hold: the watermark is older than 300 s" in told  # the system's clock stands far behind the story's
    assert "of 3.00 nats" in told


def test_explain_gives_the_numbers_of_a_row(world: World, tmp_path: Path) -> None:
    told = ask(tmp_path, "explain", "2")
    assert "hold: not enough evidence either way yet" in told
    assert "step 1 of the ramp: 50.0% of people in each arm, drawn from the buckets 0 to 1" in told
    assert "worse: not shown; e-value" in told
    assert "challenger 1 of its stream (closed_e_lond, rate 0.1," in told
    with world.database.reading() as connection:
        row = ExperimentRepository(connection, world.project).decisions()[1]
    assert row.hash in told
    assert ask(tmp_path, "explain", row.decision_id) == told
    with pytest.raises(PlauditError, match="no decision 'x'"):
        ask(tmp_path, "explain", "x", code=2)


def test_commands_stand_in_the_ledger_and_in_the_audit_trail(world: World, tmp_path: Path) -> None:
    assert ask(tmp_path, "pause", "--reason", "lunch").strip() == "decision 3: paused: lunch"
    assert ask(tmp_path, "resume", "--reason", "back").strip() == "decision 4: resumed: back"
    found = world.experiment().experiment_id
    told = ask(tmp_path, "abort", "--reason", "no", "--keep", "--experiment", found)
    assert told.strip() == "decision 5: aborted, the champion stays: no"
    trail = audit_trail(world.context, "experiment")
    assert [entry.action for entry in trail] == ["experiment.pause", "experiment.resume", "experiment.abort"]
    assert trail[0].detail["reason"] == "lunch"
    assert ask(tmp_path, "status").strip() == "no experiment runs"


def test_a_revert_stands_in_the_audit_trail_too(world: World, tmp_path: Path) -> None:
    with world.database.transaction() as connection:
        ExperimentRepository(connection, world.project).move_champion("style@1", "base", "", 0.0)
    assert ask(tmp_path, "revert", "--reason", "complaints").strip().endswith("back from style@1 to base: complaints")
    (entry,) = audit_trail(world.context, "champion")
    assert (entry.action, entry.detail["reason"]) == ("champion.revert", "complaints")


def test_an_acknowledged_alarm_stands_in_the_audit_trail(world: World, tmp_path: Path) -> None:
    with world.database.transaction() as connection:
        repository = SentinelRepository(connection, world.project)
        repository.insert(new_sentinel(world.settings, "base", 0.0))
        (found,) = connection.execute(select(sentinels.c.experiment_id)).scalars()
        repository.end(found, 1.0, "love of the champion is better than its own")
    assert ask(tmp_path, "acknowledge", "--reason", "a test").strip().startswith("acknowledged: love of the champion")
    (entry,) = audit_trail(world.context, "sentinel")
    assert (entry.action, entry.detail["reason"], entry.detail["experiment"]) == (
        "sentinel.acknowledge", "a test", found
    )  # fmt: skip


def test_a_report_on_no_experiment_fails(world: World, tmp_path: Path) -> None:
    assert "love (challenger): effect" in ask(tmp_path, "sensitivity")
    with pytest.raises(PlauditError, match="there is no experiment 'exp-x'"):
        ask(tmp_path, "sensitivity", "--experiment", "exp-x", code=2)


def test_verify_ledger_checks_the_chain_and_makes_it_again(world: World, tmp_path: Path) -> None:
    assert ask(tmp_path, "verify-ledger").startswith("2 decisions, unbroken; newest hash ")
    assert ask(tmp_path, "verify").startswith("2 decisions, unbroken")
    assert "1 come to again, 1 as they were given" in ask(tmp_path, "verify-ledger", "--replay")
    with world.database.transaction() as connection:
        connection.execute(update(decisions).where(decisions.c.sequence == 2).values(reason="forged"))
    with pytest.raises(PlauditError, match="decision 2"):
        ask(tmp_path, "verify-ledger", "--replay", code=2)
