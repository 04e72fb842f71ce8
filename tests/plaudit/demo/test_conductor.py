"""The demo's experiment: people come when they would be in an arm, and go when it is decided."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from infra.db import Database
from infra.db.tables import adapter_proofs, experiments
from plaudit.demo.conductor import Conductor, LoopDidNotClose, progress_bars
from plaudit.demo.options import DemoOptions
from plaudit.people.visits import Town, VisitPlan, WaveTally
from tests.serving.conftest import start_experiment


class Visitors(Town):
    """Counts who comes."""

    def __init__(self) -> None:
        self.came = 0
        self.many = asyncio.Event()

    async def _visit(self, plan: VisitPlan, index: int, tally: WaveTally) -> None:
        self.came += 1
        tally.visits += 1
        if self.came > 60:
            self.many.set()
        await asyncio.sleep(0.1)


def conductor_of(database: Database, **options: Any) -> Conductor:
    return Conductor(replace(DemoOptions(), **options), None, database, "demo", progress_bars())  # type: ignore[arg-type]


def test_people_come_from_the_proof_on_and_until_the_decision(sqlite_database: Database) -> None:
    conductor, town = conductor_of(sqlite_database), Visitors()

    async def turn() -> None:
        running = asyncio.create_task(conductor._experiment(town, ["?"]))
        start_experiment(sqlite_database, "loop@2", project="demo")
        await asyncio.sleep(1.2)
        assert town.came == 0, "nobody would be in an arm yet"
        with sqlite_database.transaction() as connection:
            row = {"project": "demo", "replica": "r", "adapter": "loop@2", "status": "proven", "detail": {}}
            connection.execute(adapter_proofs.insert().values(**row, proved_at=1.0))
        async with asyncio.timeout(60):
            await town.many.wait()
        with sqlite_database.transaction() as connection:
            connection.execute(update(experiments).values(status="promoted"))
        async with asyncio.timeout(60):
            await running

    asyncio.run(turn())
    assert conductor.story.outcome == "promoted"
    assert conductor.story.experiment.visits == town.came < 1600


def test_an_experiment_that_is_never_decided_does_not_close_the_loop(sqlite_database: Database) -> None:
    conductor = conductor_of(sqlite_database, training_patience_seconds=0.2)
    start_experiment(sqlite_database, "loop@2", project="demo")
    with pytest.raises(LoopDidNotClose, match="no decision"):
        asyncio.run(conductor._experiment(Visitors(), ["?"]))
