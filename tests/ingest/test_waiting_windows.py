"""Objectives with windows of their own: what changes a label that stands is due at once, and no open window moves."""

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables.feedback import labels
from infra.runtime import JobContext
from infra.settings.ingest import IngestSettings
from ingest.closing import Closing, close
from ingest.consumer import FeedbackConsumer
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.jobs import run_label
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository
from tests.ingest.builders import PROJECT, START, event, feedback_record, interaction, interaction_record
from tests.ingest.test_consumer import send, serve
from tests.ingest.worlds import with_ingest

if TYPE_CHECKING:
    from infra.db import Database
    from infra.runtime import Context

HOUR = 3600.0
WINDOWS: dict[str, Any] = {"window_seconds": 4.0, "objectives": {"reuse": {"window_seconds": HOUR}}}
LABELLING = Labelling.of(IngestSettings.model_validate(WINDOWS))
SERVED = interaction("r1", user_key="ann")
OPENED = SERVED.created_at


def finals(context: "Context") -> list[tuple[int, float | None]]:
    with context.database.reading() as connection:
        rows = connection.execute(select(labels).where(labels.c.version > 0).order_by(labels.c.version)).all()
    return [(row.version, row.objective_values["love"]) for row in rows]


def test_a_changed_vote_does_not_wait_for_the_windows_still_open(context: "Context", clock: ManualClock) -> None:
    with_ingest(context, **WINDOWS, allowed_lateness_seconds=0.0)
    consumer = FeedbackConsumer(context)
    now = clock.now()
    serve(context, interaction("r1", user_key="ann", created_at=now))
    said: dict[str, Any] = {"user_key": "ann", "derived_at": now}
    send(context, event("r1", "shown", **said), event("r1", "like", **said))
    consumer.drain()
    clock.advance(5.0)
    consumer.drain()
    run_label(JobContext(context))
    assert finals(context) == [(1, 1.0)]
    assert "0 windows closed" in run_label(JobContext(context)).detail, "the next one closes in an hour"

    send(context, event("r1", "dislike", **{**said, "derived_at": now + 5.0}))
    consumer.drain()
    assert "1 windows closed, 1 final" in run_label(JobContext(context)).detail
    assert finals(context) == [(1, 1.0), (2, 0.0)]
    assert "0 windows closed" in run_label(JobContext(context)).detail, "and waits for the last window again"

    clock.advance(HOUR)
    consumer.drain()
    consumer.close()
    assert "1 windows closed, 1 final" in run_label(JobContext(context)).detail
    assert "0 windows closed" in run_label(JobContext(context)).detail


def test_what_no_provisional_label_shows_is_due_as_well(database: "Database") -> None:
    """Reading times count in final labels only: the row says the same with another one."""
    with database.transaction() as connection:
        closed_once(connection)
        feed(connection, START + 1, event("r1", "dwell", value=3.0))
        repository = FeedbackRepository(connection, PROJECT)
        assert repository.due(START + 1, 10) == [("r1", 0)]
        close(connection, PROJECT, [("r1", 0)], Closing(LABELLING, START + 1, START + 1))
        assert repository.due(START + 1, 10) == []
        feed(connection, START + 2, event("r1", "dwell", value=9.0, derived_at=START + 2))
        assert repository.due(START + 2, 10) == [("r1", 0)]


def test_an_open_window_keeps_its_end_when_the_settings_change(database: "Database") -> None:
    long = Labelling.of(IngestSettings(window_seconds=HOUR))
    with database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record([SERVED])], long, START)
        feed(connection, START, event("r1", "shown"), labelling=long)
        feed(connection, START + 100, event("r1", "like", derived_at=START + 100))
        row = connection.execute(select(labels)).one()
    assert (row.version, row.window_closes_at, row.config_hash) == (0, OPENED + HOUR, LABELLING.config_hash)


@pytest.mark.postgres
def test_an_event_that_comes_while_the_label_is_closed_is_due_at_once(postgres_database: "Database") -> None:
    """The job has written the first final label and not committed: the consumer cannot know it before it waits."""

    def consume() -> None:
        with postgres_database.transaction() as connection:
            feed(connection, START + 1, event("r1", "dislike", derived_at=START + 1))

    with postgres_database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record([SERVED])], LABELLING, START)
        feed(connection, START, event("r1", "like"))
    with postgres_database.transaction() as connection:
        due = FeedbackRepository(connection, PROJECT).due(START, 10)
        assert close(connection, PROJECT, due, Closing(LABELLING, START, START)) == 1
        thread = threading.Thread(target=consume)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the consumer must wait for the row the job holds"
    thread.join(10)
    with postgres_database.transaction() as connection:
        assert FeedbackRepository(connection, PROJECT).due(START + 1, 10) == [("r1", 0)]


def closed_once(connection: Any) -> None:
    """r1 is served and liked, its first window is over and labelled, the second one waits."""
    INTERACTION_HANDLER.apply(connection, [interaction_record([SERVED])], LABELLING, START)
    feed(connection, START, event("r1", "shown"), event("r1", "like"), event("r1", "dwell", value=2.0))
    assert close(connection, PROJECT, [("r1", 0)], Closing(LABELLING, START, START)) == 1
    assert FeedbackRepository(connection, PROJECT).due(START + 1, 10) == []


def feed(connection: Any, now: float, *events: Any, labelling: Labelling = LABELLING) -> None:
    """These events are read from the log at `now`."""
    FEEDBACK_HANDLER.apply(connection, [feedback_record(list(events))], labelling, now)
