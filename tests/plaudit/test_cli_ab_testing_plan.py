"""`plaudit ab-testing plan` and `simulate` on a store with people in it."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.contracts import ManualClock
from infra.runtime import open_context
from infra.settings import load_settings
from plaudit.cli import app
from tests.ab_testing.world import World, quick


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Two hundred people, half of whom love what they read; nothing is known of harm."""
    data = tmp_path / "data"
    context = open_context(load_settings(overrides={"data_dir": data}), ManualClock(time.time() - 4 * 86_400))
    assert isinstance(context.clock, ManualClock)
    world = World(quick(context.settings), context.clock, context.database, context.event_log)
    world.start()
    visits = world.visits(200, challenger=0.5, control=0.5)
    world.write([(interaction, {"love": values["love"]}) for interaction, values in visits])
    context.close()
    return {"PLAUDIT_DATA_DIR": str(data), "COLUMNS": "200", "NO_COLOR": "1"}


def run(variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["ab-testing", *arguments], env=variables)
    return done.exit_code, done.output


def test_a_plan(variables: dict[str, str]) -> None:
    code, told = run(variables, "plan")
    assert code == 0, told
    assert "50 people a day (200 different people in 4 days); challenger 1 of the stream" in told
    assert "begin with 50.0% of people in each arm, as from 1.0% it would not end in time" in told
    rows = {tuple(line.split()[:2]): line.split() for line in told.splitlines()}
    assert rows["love", "better"][7] == "368"
    assert rows["love", "harm"][7] == "60"
    assert "never" not in told
    assert "promoted within about" in told or "nothing is known of" in told

    alone = run(variables, "plan", "--position", "0", "--people-per-day", "100000")[1]
    assert "begin with 1.0% of people in each arm." in alone
    assert "100,000 people a day (given); challenger alone of the stream" in alone
    assert "  20 " in next(line for line in alone.splitlines() if "love" in line and "better" in line)
    assert "never" in run(variables, "plan", "--position", "400")[1]


def test_a_plan_asks_what_the_settings_ask(variables: dict[str, str]) -> None:
    """Of two challengers the first needs 17, below the 20 of one alone; a place too slow is told so."""
    told = run(variables | {"PLAUDIT_AB_TESTING__FDR_HORIZON": "2"}, "plan")[1]
    assert "  20 " in next(line for line in told.splitlines() if "love" in line and "better" in line)
    alone = run(variables | {"PLAUDIT_AB_TESTING__FDR_PROCEDURE": "none"}, "plan")[1]
    assert "challenger alone of the stream" in alone
    rates = '[{"name": "love", "objective": "love", "role": "goal", "expected_rate": 0.5}]'
    few = run(variables | {"PLAUDIT_AB_TESTING__METRICS": rates}, "plan", "--people-per-day", "100")[1]
    assert "longer than ab_testing.max_runtime_seconds allows (28 days)" in few


def test_a_simulation(variables: dict[str, str]) -> None:
    code, told = run(variables, "simulate", "--rate", "0.3", "--people", "400", "--runs", "20", "--position", "0")
    assert code == 0, told
    assert "20 experiments of 400 counted people, metric love, control 0.3" in told
    assert [line.split()[0] for line in told.splitlines()[-3:]] == ["equal", "better", "worse"]
    code, told = run(variables, "simulate", "--metric", "hate")
    assert code == 2
    assert "none of love, harm, feedback_rate" in " ".join(told.replace("│", " ").split())
