"""Two schedulers at once, killed and frozen anywhere: every due run happened once, none twice."""

import os
import random
import signal
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from infra.contracts import SystemClock
from infra.db import Database
from infra.event_log import EventLog
from infra.runtime import Context, Job, JobContext, JobOutcome, open_context
from infra.runtime.repository import recent_runs
from infra.runtime.scheduler import Scheduler
from infra.settings import Settings
from tests.fixtures.forking import Forking
from tests.fixtures.helpers import wait_until
from tests.infra.runtime.drill_program import drill_settings

EVERY = 0.2


class Pair:
    """Two scheduler processes over one data folder."""

    def __init__(self, folder: Path, parts: Forking) -> None:
        self._folder, self._parts = folder, parts
        open_context(drill_settings(folder)).close()  # migrated
        self._database = Database.open(drill_settings(folder).store_url)
        with self._database.transaction() as connection:
            connection.execute(text("CREATE TABLE drill_effects (fire REAL NOT NULL, run_id TEXT NOT NULL)"))
        self._processes = [self._start(), self._start()]

    def fires(self) -> "Counter[float]":
        """Fire -> how often it left its effect."""
        with self._database.reading() as connection:
            return Counter(connection.execute(text("SELECT fire FROM drill_effects")).scalars())

    def kill(self, which: int) -> None:
        """As a power cut would, and start another in its place."""
        self._parts.kill(self._processes[which])
        self._processes[which] = self._start()

    def freeze(self, which: int, seconds: float) -> None:
        """Stand still for longer than a lease lives, then go on as if nothing had been."""
        os.kill(self._processes[which], signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._processes[which], signal.SIGCONT)

    def stop(self) -> None:
        """Kill both for good."""
        while self._processes:
            self._parts.kill(self._processes.pop())

    def close(self) -> None:
        self.stop()
        self._database.close()

    def _start(self) -> int:
        arguments = (str(self._folder), str(EVERY))
        output = self._folder / "scheduler.out"
        return self._parts.start(arguments, dict(os.environ), output, "tests.infra.runtime.drill_program")


def drilled(folder: Path, parts: Forking, fires: int, harms: int, seed: int) -> None:
    """Harm the pair so often while so many fires pass; then every fire so far is there exactly once."""
    draw, pair = random.Random(seed), Pair(folder, parts)
    try:
        wait_until(lambda: len(pair.fires()) >= 1, 60.0, "the first fire")
        for number in range(harms):
            target = 1 + fires * (number + 1) // (harms + 1)
            wait_until(lambda target=target: len(pair.fires()) >= target, 120.0, f"fire {target}")
            time.sleep(draw.random() * EVERY)
            if number % 3 == 2:
                pair.freeze(draw.randrange(2), 0.7)
            else:
                pair.kill(draw.randrange(2))
        wait_until(lambda: len(pair.fires()) >= fires, 120.0, f"fire {fires}")
        pair.stop()
        found = pair.fires()
    finally:
        pair.close()
    ordered = sorted(found)
    assert set(found.values()) == {1}, "a fire left its effect twice"
    gaps = {round((later - earlier) / EVERY) for earlier, later in pairwise(ordered)}
    assert gaps == {1}, "a fire is missing"


@pytest.mark.timeout(300)
def test_two_schedulers_killed_anywhere_run_every_fire_once(tmp_path: Path, parts: Forking) -> None:
    drilled(tmp_path, parts, fires=15, harms=3, seed=1)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_schedulers_killed_thirty_times_run_two_hundred_fires_once(tmp_path: Path, parts: Forking) -> None:
    drilled(tmp_path, parts, fires=200, harms=30, seed=2)


@pytest.fixture
def shared(settings: Settings, database: Database, event_log: EventLog) -> Context:
    """Both stores, by the machine's clock; leases outlive a busy machine."""
    return Context(settings, SystemClock(), database, event_log)


def test_two_schedulers_of_one_store_share_the_fires(shared: Context) -> None:
    ran: list[tuple[str, float | None]] = []

    def note(job: JobContext) -> JobOutcome:
        with job.database.transaction() as connection:
            job.complete(connection)
        ran.append((threading.current_thread().name, job.fire))
        return JobOutcome.done()

    job = Job("shared", note, lambda _: 0.15, 30.0, catch_up="all")
    schedulers = [Scheduler(shared, [job]), Scheduler(shared, [job])]
    for scheduler in schedulers:
        scheduler.start()
    wait_until(lambda: len(ran) >= 8, 30.0, "eight runs")
    for scheduler in schedulers:
        scheduler.close()
    fires = [fire for _, fire in ran]
    assert len(fires) == len(set(fires)), "a fire was run twice"
    assert None not in fires
    with shared.database.reading() as connection:
        runs = recent_runs(connection, "default", "shared")
    assert sorted(run.due_at for run in runs if run.status == "done") == sorted(fires)  # type: ignore[type-var]
