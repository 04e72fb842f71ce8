"""The promoter killed by SIGKILL, wherever it happens to be: the ledger is that of one that never was."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ab_testing.service import decide
from infra.db import Database
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing import outage_child
from tests.ab_testing.outages import BETTER, EVERY, LOOKS, PEOPLE, WAVES, kinds, new_world, text
from tests.ab_testing.world import World, ledger


def told(settings: Settings, event_log: EventLog, path: Path) -> World:
    """A store with everybody's answers and labels in it, up to a consumer that has read it all: looks lie before it."""
    world = new_world(settings, event_log, path, min_people_per_arm=80, freshness_seconds=1e6)
    world.start()
    for _ in range(WAVES):
        world.write(world.visits(PEOPLE, challenger=BETTER[0], control=BETTER[1]))
        world.clock.advance(EVERY)
    world.consumed(at=world.clock.now() + 1e5)
    return world


def run_killed(world: World, folder: Path, delays: list[float], first: float) -> int:
    """Looks in children that are killed after each of `delays` seconds of looking, and the rest of the looks here;
    returns how many were caught."""
    settings, progress = folder / "settings.json", folder / "progress"
    settings.write_text(world.settings.model_dump_json())
    command = [sys.executable, "-m", "tests.ab_testing.outage_child", str(settings), world.database.url, str(progress)]
    caught = 0
    for delay in delays:
        child = subprocess.Popen(
            [*command, repr(first), str(LOOKS)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        with child:
            assert child.stdout is not None
            try:
                assert child.stdout.readline() == b"looking\n"
                child.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                caught += 1
            finally:
                child.kill()
        assert child.returncode in (0, -9)
    outage_child.main(str(settings), world.database.url, str(progress), first, LOOKS)
    return caught


def compare(settings: Settings, event_log: EventLog, tmp_path: Path, delays: list[float]) -> int:
    """Both ledgers, byte for byte; returns how often the promoter was caught at work."""
    disturbed = told(settings, event_log, tmp_path / "killed.sqlite3")
    first = disturbed.clock.now()
    disturbed.database.close()
    shutil.copy(tmp_path / "killed.sqlite3", tmp_path / "clean.sqlite3")
    clean = World(disturbed.settings, disturbed.clock, Database.open(f"sqlite:///{tmp_path}/clean.sqlite3"), event_log)
    for _ in range(LOOKS):
        decide(clean.context)
        clean.clock.advance(EVERY)
    caught = run_killed(disturbed, tmp_path, delays, first)
    expected = ledger(clean)
    assert kinds(expected)[-1] == "promote:better"
    assert text(ledger(disturbed)) == text(expected)
    return caught


def test_killed_once(settings: Settings, event_log: EventLog, tmp_path: Path) -> None:
    assert compare(settings, event_log, tmp_path, [0.03]) == 1


@pytest.mark.full
@pytest.mark.timeout(1800)  # thirteen processes that import everything
def test_killed_at_random(settings: Settings, event_log: EventLog, tmp_path: Path) -> None:
    """A dozen times, seldom at the same place."""
    random.seed(time.time_ns())
    caught = compare(settings, event_log, tmp_path, [random.uniform(0.0, 0.15) for _ in range(12)])
    assert caught >= 6
