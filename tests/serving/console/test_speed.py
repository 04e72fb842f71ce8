"""Pages stay fast however much is stored: their queries follow indexes, and with a million interactions they answer in
under 200 ms at the 95th percentile."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from infra.contracts import uuid7
from infra.db import insert_ignore_many
from infra.db.tables import adapters, experiments, exposures, feedback_events, interactions, labels, person_trust
from infra.runtime import Context
from tests.serving.console.conftest import PAGES, signed_in

LARGE = ("interactions", "feedback_events", "labels", "exposures", "person_values", "dead_letters", "job_runs")
"""Tables that grow with people and time: none of them is read from end to end."""
INTERACTIONS = int(os.environ.get("PLAUDIT_TEST_INTERACTIONS", "1000000"))
PEOPLE = INTERACTIONS // 10
LOT = 50_000
LIMIT_SECONDS = 0.2
REQUESTS = 20


def pages_of(context: Context) -> list[str]:
    """The menu's pages and those behind their links."""
    with context.database.reading() as connection:
        row = connection.execute(select(adapters.c.name, adapters.c.version).limit(1)).one()
        trial = connection.execute(select(experiments.c.experiment_id).limit(1)).scalar_one()
    return [*PAGES, f"/models/{row.name}@{row.version}", f"/experiment?id={trial}", "/rewards?objective=dwell"]


class Statements:
    """What an engine is asked, with its parameters."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.seen.append((statement, parameters))


def test_no_page_reads_a_large_table_from_end_to_end(recorded: Context) -> None:
    client, paths = signed_in(recorded), pages_of(recorded)
    statements = Statements(recorded.database._reader)
    for path in paths:
        assert client.get(f"/console{path}").status_code == 200
    asked = list(dict.fromkeys(statement for statement, _ in statements.seen))
    given = dict(statements.seen)
    assert len(asked) > 25
    scans = []
    with recorded.database.reading() as connection:
        for statement in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given[statement]).all()
            steps = [str(row[3]) for row in rows]
            scans += [(step, statement) for step in steps if scanned(step)]
    assert scans == []


def scanned(step: str) -> bool:
    """Whether a step of a plan reads a whole large table: an index read in its order, under a limit, does not; a search
    of its rows by the project alone does."""
    words = step.split()
    if words[:1] == ["SEARCH"] and words[1] in LARGE and words[2:] == ["USING", "PRIMARY", "KEY", "(project=?)"]:
        return True
    return words[0] == "SCAN" and words[1] in LARGE and "INDEX" not in words and words[1] != "feedback_events"


def test_the_newest_events_are_found_by_the_primary_key(recorded: Context) -> None:
    """Their ids begin with a time: read from the end, and no further than asked."""
    query = "SELECT event_id FROM feedback_events WHERE project = 'x' ORDER BY event_id DESC LIMIT 40"
    with recorded.database.reading() as connection:
        steps = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.full
@pytest.mark.timeout(1200)  # filling the store takes minutes; the pages are timed by themselves
def test_pages_are_fast_with_a_million_interactions(recorded: Context) -> None:
    fill(recorded)
    client, slow = signed_in(recorded), {}
    for path in pages_of(recorded):
        client.get(f"/console{path}")
        seconds, worked = [], time.process_time()
        for _ in range(REQUESTS):
            started = time.perf_counter()
            assert client.get(f"/console{path}").status_code == 200
            seconds.append(time.perf_counter() - started)
        p95 = sorted(seconds)[int(0.95 * REQUESTS) - 1]
        cpu = (time.process_time() - worked) / REQUESTS
        print(f"{path}: {1000 * p95:.0f} ms at the 95th percentile, {1000 * cpu:.0f} ms of CPU each")
        if p95 >= LIMIT_SECONDS:
            slow[path] = p95
    assert slow == {}


def fill(context: Context) -> None:
    """A million interactions of a hundred thousand people, with events, labels, exposures and trust."""
    project, now = context.settings.project, context.clock.now()
    with context.database.reading() as connection:
        on_trial = (experiments.c.status == "running", experiments.c.kind != "sentinel")
        running = connection.execute(select(experiments.c.experiment_id).where(*on_trial)).scalars().first()
        payload = connection.execute(select(interactions.c.payload).limit(1)).scalar_one()
    for start in range(0, INTERACTIONS, LOT):
        with context.database.transaction() as connection:
            numbers = range(start, start + LOT)
            at = [now - 86400.0 * 30 * (1 - number / INTERACTIONS) for number in numbers]
            insert_ignore_many(connection, interactions, _INTERACTION, (
                (project, f"chatcmpl-{number:09d}", f"c-{number}", f"u-{number % PEOPLE:06d}", when, "base",
                 running if number % 4 == 0 else None, "control" if number % 4 == 0 else None,
                 0.5, 0, "gateway", when, "[[0,40,12]]", payload, b"12345678")
                for number, when in zip(numbers, at, strict=True)
            ))  # fmt: skip
            insert_ignore_many(connection, labels, _LABEL, (
                (project, f"chatcmpl-{number:09d}", 0, 1, "final", {"love": float(number % 5 == 0), "dwell": 0.4},
                 {"love": 1.0}, 2, "h", when, when) for number, when in zip(numbers, at, strict=True)
            ))  # fmt: skip
            insert_ignore_many(connection, feedback_events, _EVENT, _events(project, numbers, at))
    with context.database.transaction() as connection:
        insert_ignore_many(connection, exposures, _EXPOSURE, (
            (project, running, f"u-{number:06d}", ("control", "challenger")[number % 2], 0.5, 0, 1, now - 100.0, -1, 3)
            for number in range(PEOPLE)
        ))  # fmt: skip
        insert_ignore_many(connection, person_trust, _TRUST, (
            (project, f"u-{number:06d}", now - 1000.0, now - 1000.0, 1.0, 0.8, 0.7, 0.9, 5, "active", [], "h")
            for number in range(PEOPLE)
        ))  # fmt: skip


def _events(project: str, numbers: range, at: list[float]) -> Iterator[tuple[Any, ...]]:
    for number, when in zip(numbers, at, strict=True):
        for signal in ("shown", "like") if number % 5 == 0 else ("shown",):
            yield (str(uuid7()), project, f"chatcmpl-{number:09d}", 0, signal, "set", None, None, None, 0, None, when,
                   when, "api", "desktop", None)  # fmt: skip


_INTERACTION = ("project", "response_id", "conversation_id", "user_key", "created_at", "adapter", "experiment", "arm",
                "propensity", "phase", "source", "known_at", "lengths", "payload", "content_hash")  # fmt: skip
_LABEL = ("project", "response_id", "choice", "version", "status", "objective_values", "weights", "events_counted",
          "config_hash", "made_at", "window_closes_at")  # fmt: skip
_EVENT = ("event_id", "project", "response_id", "choice", "signal", "operation", "value", "text", "other_response_id",
          "other_choice", "user_key", "derived_at", "received_at", "source", "device", "solicited")  # fmt: skip
_EXPOSURE = ("project", "experiment_id", "user_key", "arm", "propensity", "phase", "arms_seen", "first_at", "stage",
             "answers")  # fmt: skip
_TRUST = ("project", "user_key", "estimated_at", "votes_until", "weight", "reliability", "reliability_low",
          "reliability_high", "votes", "status", "reasons", "config_hash")  # fmt: skip
