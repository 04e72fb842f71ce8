"""Whatever a look reads of a person, it reads by an index of people: one that passed over everybody would take minutes
with 200,000 people, and a store without statistics is all too ready for it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event, text

from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, World, quick

METRICS = (
    {"name": "love", "objective": "love", "role": "goal"},
    {"name": "back", "objective": "return", "role": "guardrail", "delta": 0.2},
    {"name": "rate", "objective": "feedback", "role": "guardrail", "missing": "zero", "delta": 0.2},
)
BIG = {"interactions", "labels", "feedback_events", "exposures", "person_values"}

Statement = tuple[str, Any]


@contextmanager
def heard(database: Database) -> Iterator[list[Statement]]:
    """SELECTs that the store is sent, with their parameters."""
    found: list[Statement] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT") and any(table in statement for table in BIG):
            found.append((statement, parameters))

    engines = {id(engine): engine for engine in (database._reader, database._writer)}
    for engine in engines.values():
        event.listen(engine, "before_cursor_execute", listen)
    try:
        yield found
    finally:
        for engine in engines.values():
            event.remove(engine, "before_cursor_execute", listen)


def _filled(world: World) -> None:
    """People with answers before, in and after the experiment, labels and signals; half of them frozen already."""
    experiment = world.start()
    for _ in range(2):
        world.clock.advance(1.0)
        visits = world.visits(300, challenger=0.5, control=0.5, experiment=experiment)
        world.write(visits)
        for days, name in ((-1.0, "before"), (1.5, "after")):
            beside = [
                (
                    msgspec.structs.replace(
                        answer, response_id=f"{answer.response_id}-{name}", experiment=None, arm=None,
                        propensity=None, phase=None, created_at=answer.created_at + days * 100.0,
                    ),
                    values,
                )
                for answer, values in visits
            ]  # fmt: skip
            world.write(beside)
        for answer, _values in visits[::15]:
            world.feedback(answer, "thumb", answer.created_at + 1.0)
        world.look(2 * FREEZE_AFTER)


@pytest.fixture
def filled(url: str, settings: Settings, clock: ManualClock, event_log: EventLog, request: Any) -> World:
    database: Database = request.getfixturevalue(f"{url}_database")
    rules = quick(
        settings, metrics=METRICS, min_people_per_arm=10_000, alpha_rollback=1e-9, covariate_days=2.0,
        segments=("daytime", "device", "turn"),
    )  # fmt: skip
    tree = rules.model_dump()
    tree["ingest"]["validity"] |= {"day_seconds": 100.0, "return_days": 2}
    world = World(Settings(**tree), clock, database, event_log)
    _filled(world)
    return world


def _plan(connection: Connection, statement: Statement) -> list[str]:
    """One line for every table that is read."""
    sql, parameters = statement
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    return [row[0].strip() for row in connection.exec_driver_sql(f"EXPLAIN {sql}", parameters)]


def _passes_over_all(line: str) -> bool:
    """Whether a step of SQLite's plan reads all of a project or of an experiment, or all of some days."""
    reads = re.search(r"^(SCAN|SEARCH) (\w+)", line)
    if reads is None or reads[2] not in BIG | {"by_key"}:
        return False
    by = [name for name in re.findall(r"(\w+)[=<>]+\?", line) if name != "project"]
    return reads[1] == "SCAN" or set(by) <= {"created_at"} or by in (["experiment"], ["experiment_id"])


def _statements(world: World) -> list[Statement]:
    """What two looks ask: one that files and counts new people, one that freezes them."""
    world.write(world.visits(40, challenger=0.5, control=0.5))
    with heard(world.database) as found:
        world.look(5 * FREEZE_AFTER)
        assert world.look(400.0).frozen >= 40
    return found


@pytest.mark.parametrize("url", ["sqlite"])
def test_no_pass_over_everybody_with_statistics_or_without(filled: World) -> None:
    statements = _statements(filled)
    for analysed in (False, True):
        with filled.database.transaction() as connection:
            if analysed:
                connection.execute(text("ANALYZE"))
            plans = [(sql, _plan(connection, (sql, given))) for sql, given in statements]
        for sql, lines in plans:
            assert not [line for line in lines if _passes_over_all(line)], (analysed, sql, lines)
        read = " ".join(line for _sql, lines in plans for line in lines)
        for expected in (
            "ix_interactions_project_experiment_user_key (project=? AND experiment=? AND user_key=?)",
            "interactions USING PRIMARY KEY (project=? AND response_id=?)",
            "labels USING PRIMARY KEY (project=? AND response_id=?)",
            "ix_feedback_events_response_id (response_id=?)",
            "(project=? AND experiment_id=? AND user_key=?)",
            "ix_interactions_arrivals (project=? AND experiment=? AND known_at>?)",
        ):
            assert expected in read, (analysed, expected)


@pytest.mark.parametrize("url", [pytest.param("postgres", marks=pytest.mark.postgres)])
def test_indexes_serve_lists_of_people_on_postgresql(filled: World) -> None:
    statements = [(sql, given) for sql, given in _statements(filled) if "unnest" in sql]
    with filled.database.transaction() as connection:
        connection.execute(text("ANALYZE"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [(sql, " ".join(_plan(connection, (sql, given)))) for sql, given in statements]
    assert plans
    for sql, plan in plans:
        assert "Seq Scan" not in plan, (sql, plan)
    read = " ".join(plan for _sql, plan in plans)
    for index in ("ix_interactions_project_experiment_user_key", "pk_labels", "ix_feedback_events_response_id"):
        assert index in read, index
