"""The label job: windows close at the watermark, late events make new versions."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables.feedback import labels
from infra.runtime import JobContext
from ingest.consumer import FeedbackConsumer
from ingest.jobs import JOBS, run_label
from tests.ingest.builders import START, event, interaction
from tests.ingest.test_consumer import send, serve
from tests.ingest.worlds import with_ingest

if TYPE_CHECKING:
    from infra.runtime import Context

DAY = 24 * 3600.0
HOUR = 3600.0


def versions(context: "Context") -> list[tuple[int, str, float | None]]:
    with context.database.reading() as connection:
        rows = connection.execute(select(labels).order_by(labels.columns.response_id, labels.columns.version)).all()
    return [(row.version, row.status, row.objective_values.get("love")) for row in rows]


def test_without_a_watermark_nothing_is_final(context: "Context", clock: ManualClock) -> None:
    clock.advance(10 * DAY)
    outcome = run_label(JobContext(context))
    assert outcome.status == "skipped"
    assert "ingest consume" in outcome.detail


def test_silence_becomes_zero_once_window_and_lateness_have_passed(
    context: "Context", consumer: FeedbackConsumer, clock: ManualClock
) -> None:
    serve(context, interaction("r1"))
    send(context, event("r1", "shown"))
    consumer.drain()
    clock.advance(DAY + HOUR - 11.0)  # the window opened ten seconds before START
    consumer.drain()
    run_label(JobContext(context))
    assert versions(context) == [(0, "provisional", None)]
    clock.advance(1.0)
    run_label(JobContext(context))
    assert versions(context) == [(0, "provisional", None)]  # the clock has passed it, the watermark has not
    consumer.drain()
    assert "1 windows closed, 1 final" in run_label(JobContext(context)).detail
    assert versions(context) == [(1, "final", 0.0)]
    assert "0 windows closed" in run_label(JobContext(context)).detail


def test_late_events_make_a_new_version_and_repetitions_do_not(
    context: "Context", consumer: FeedbackConsumer, clock: ManualClock
) -> None:
    shown = event("r1", "shown")
    send(context, shown)
    clock.advance(2 * DAY)
    consumer.drain()
    run_label(JobContext(context))
    send(context, event("r1", "like", derived_at=START + 2 * DAY))
    consumer.drain()
    assert versions(context) == [(0, "provisional", 1.0), (1, "final", 0.0)]
    clock.advance(1.0)
    consumer.drain()
    run_label(JobContext(context))
    assert versions(context) == [(1, "final", 0.0), (2, "final", 1.0)]
    send(context, shown)
    consumer.drain()
    assert "0 final" in run_label(JobContext(context)).detail
    assert versions(context) == [(1, "final", 0.0), (2, "final", 1.0)]


def test_more_labels_than_one_transaction_takes(context: "Context", clock: ManualClock) -> None:
    small = context.settings.ingest.model_copy(update={"label_batch": 7})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"ingest": small}))
    consumer = FeedbackConsumer(context)
    send(context, *(event(f"r{i:02}", "shown") for i in range(20)))
    clock.advance(2 * DAY)
    consumer.drain()
    consumer.close()
    assert "20 windows closed, 20 final" in run_label(JobContext(context)).detail
    assert versions(context) == [(1, "final", 0.0)] * 20


def test_a_job_told_to_stop_stops(context: "Context", consumer: FeedbackConsumer, clock: ManualClock) -> None:
    send(context, event("r1", "shown"))
    clock.advance(2 * DAY)
    consumer.drain()
    run_label(JobContext(context, stop=lambda: True))
    assert versions(context) == [(0, "provisional", None)]


def test_the_record_of_a_run_says_what_may_not_weigh(
    context: "Context", consumer: FeedbackConsumer, clock: ManualClock
) -> None:
    assert "weight 0" not in run_label(JobContext(context)).detail
    with_ingest(context, objectives={"dwell": {"weight": 0.5}})
    consumer.drain()
    assert "without evidence or override, so at weight 0: dwell" in run_label(JobContext(context)).detail


def test_the_job_is_declared() -> None:
    assert [job.name for job in JOBS] == ["label", "dwell-model", "propensity", "validity", "retention"]


@pytest.mark.postgres
def test_an_event_that_comes_while_its_label_is_closed_is_not_lost(
    settings: object, postgres_database: object, clock: ManualClock
) -> None:
    """The job has read the ledger and not committed; the consumer adds a like: the label must be due again."""
    import threading

    from infra.db import Database
    from infra.settings.ingest import IngestSettings
    from ingest.closing import Closing, close
    from ingest.feedback_handler import FEEDBACK_HANDLER
    from ingest.labels import Labelling
    from ingest.repository import FeedbackRepository
    from tests.ingest.builders import PROJECT, feedback_record

    assert isinstance(postgres_database, Database)
    labelling = Labelling.of(IngestSettings())

    def consume(*events: object) -> None:
        with postgres_database.transaction() as connection:
            FEEDBACK_HANDLER.apply(connection, [feedback_record(list(events))], labelling, START)  # type: ignore[arg-type]

    consume(event("r1", "shown"))
    with postgres_database.transaction() as connection:
        repository = FeedbackRepository(connection, PROJECT)
        due = repository.due(START + 2 * DAY, 10)
        close(connection, PROJECT, due, Closing(labelling, START))
        thread = threading.Thread(target=consume, args=(event("r1", "like"),))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the consumer must wait for the row the job holds"
    thread.join(10)
    with postgres_database.transaction() as connection:
        repository = FeedbackRepository(connection, PROJECT)
        assert repository.due(START + 2 * DAY, 10) == [("r1", 0)]
        close(connection, PROJECT, [("r1", 0)], Closing(labelling, START))
        label, pending = repository.current_label("r1", 0)
    assert label is not None
    assert (label.version, label.values["love"], pending) == (2, 1.0, False)
