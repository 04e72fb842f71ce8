"""What is too old goes, the rest stays; log records go only behind the slowest consumer."""

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from infra.contracts import ManualClock
from infra.db.tables import consumer_offsets, dead_letters, feedback_events, interactions, labels
from infra.event_log import Record
from infra.runtime import Context, JobContext
from infra.settings.retention import RetentionSettings
from ingest.access.service import audit_trail
from ingest.asof import labels_as_of
from ingest.jobs import run_label
from ingest.repository import FeedbackRepository
from ingest.retention import run_retention, trim_log
from ingest.topics import feedback_topic
from tests.ingest.builders import PROJECT
from tests.ingest.erasure.town import ANSWERS, CARL, drain, event, everything, live, send

if TYPE_CHECKING:
    from infra.event_log.embedded.log import SqliteEventLog

DAY = 86400.0


def keeping(context: Context, **ages: float) -> Context:
    settings = context.settings.model_copy(update={"retention": RetentionSettings(**ages)})
    return Context(settings, context.clock, context.database, context.event_log)


def rows(context: Context) -> dict[str, int]:
    with context.database.reading() as connection:
        return {name: len(found) for name, found in everything(connection).items()}


def test_by_default_everything_is_kept(context: Context, clock: ManualClock) -> None:
    live(context)
    before = rows(context)
    clock.advance(1000 * DAY)
    outcome = run_retention(JobContext(context))
    assert outcome.status == "skipped"
    assert rows(context) == before


def test_each_kind_by_its_age_and_nothing_younger(context: Context, clock: ManualClock) -> None:
    live(context)
    before = rows(context)
    # The oldest interaction, events and labels become a day older than the others.
    with context.database.transaction() as connection:
        for table, column in ((interactions, "created_at"), (feedback_events, "received_at"), (labels, "made_at")):
            old = table.c.response_id == ANSWERS["anna-1"]
            connection.execute(update(table).where(old).values({column: table.columns[column] - 2 * DAY}))
        connection.execute(update(labels).values(window_closes_at=labels.c.made_at))
    clock.advance(40 * DAY)
    kept = keeping(
        context,
        interaction_seconds=41 * DAY,
        feedback_text_seconds=41 * DAY,
        label_seconds=41 * DAY,
        dead_letter_seconds=41 * DAY,
    )
    assert run_retention(JobContext(kept)).detail == "1 interactions, 1 texts, 1 labels, 0 dead_letters"
    after = rows(context)
    gone = {name: before[name] - after[name] for name in before if before[name] != after[name]}
    assert gone == {"interactions": 1, "labels": 1, "audit_entries": -1}
    with context.database.reading() as connection:
        texts = connection.execute(select(feedback_events.c.text).where(feedback_events.c.text.is_not(None))).all()
        assert texts == []
    assert [entry.action for entry in audit_trail(context)] == ["retention.run"]
    assert run_retention(JobContext(kept)).detail == "0 interactions, 0 texts, 0 labels, 0 dead_letters"


def test_a_blanked_text_that_comes_again_is_no_conflict(context: Context, clock: ManualClock) -> None:
    live(context)
    clock.advance(2 * DAY)
    run_retention(JobContext(keeping(context, feedback_text_seconds=DAY)))
    with context.database.transaction() as connection:
        connection.execute(consumer_offsets.delete())
    drain(context)
    with context.database.reading() as connection:
        assert connection.execute(select(dead_letters)).all() == []
        texts = connection.execute(select(feedback_events.c.text).where(feedback_events.c.text.is_not(None))).all()
        assert texts == []


def test_log_records_go_behind_the_slowest_group_only(sqlite_context: Context, clock: ManualClock) -> None:
    context = sqlite_context
    live(context)
    log: Any = context.event_log
    topic = feedback_topic(context.settings)
    fed = stored(log, topic)
    assert fed > 0
    slow = log.consumer(topic, "slow-group")
    slow.poll(1, 5.0)
    slow.commit({0: 0, 1: 0, 2: 0, 3: 0})
    clock.advance(10 * DAY)
    assert trim_log(context, clock.now() - 20 * DAY) == 0, "young"
    trim_log(context, clock.now() - 5 * DAY)
    assert stored(log, topic) == fed, "the slow group has not read them"
    slow.commit(slow.end_offsets())
    slow.close()
    trim_log(context, clock.now() - 5 * DAY)
    assert stored(log, topic) == 0
    assert log.consumer(topic, "other").end_offsets() != dict.fromkeys(range(4), 0), "offsets go on"


def test_what_was_never_applied_stays_on_the_log(sqlite_context: Context, clock: ManualClock) -> None:
    context = sqlite_context
    topic = feedback_topic(context.settings)
    context.event_log.ensure_topic(topic)
    context.event_log.append(topic, [Record(b"k", b"[]")]).result(30)
    clock.advance(10 * DAY)
    assert trim_log(context, clock.now()) == 0


def stored(log: "SqliteEventLog", topic: str) -> int:
    """Records of the topic still in the file."""
    import sqlite3

    from infra.event_log.embedded.storage import row_id

    with sqlite3.connect(log._path) as connection:
        topic_id = log._topic(topic).topic_id
        bounds = (row_id(topic_id, 0, 0), row_id(topic_id + 1, 0, 0))
        return int(connection.execute("SELECT count(*) FROM records WHERE id >= ? AND id < ?", bounds).fetchone()[0])


@pytest.mark.parametrize("age", [-1.0, float("nan")])
def test_ages_are_numbers_that_make_sense(age: float) -> None:
    with pytest.raises(ValueError, match="label_seconds"):
        RetentionSettings(label_seconds=age)


def test_a_label_that_grew_too_old_is_followed_by_a_higher_version(context: Context, clock: ManualClock) -> None:
    """What each version was made from is kept: a number used twice would be made again from the older basis."""
    live(context)
    clock.advance(30 * DAY)
    drain(context)
    run_label(JobContext(context))
    then = clock.now()
    clock.advance(2 * DAY)
    run_retention(JobContext(keeping(context, label_seconds=DAY)))
    assert rows(context)["labels"] == 0
    send(context, [event("carl-1", "dislike", CARL)])
    drain(context)
    clock.advance(2 * DAY)
    drain(context)
    run_label(JobContext(context))
    carl = (ANSWERS["carl-1"], 0)
    with context.database.reading() as connection:
        (stored,) = FeedbackRepository(connection, PROJECT).final_labels([carl[0]]).values()
        before, after = (labels_as_of(connection, PROJECT, instant) for instant in (then, clock.now()))
    (old,) = (label for label in before.labels if label.response_id == carl[0])
    (new,) = (label for label in after.labels if label.response_id == carl[0])
    assert (old.version, old.values["sentiment"]) == (1, 1.0)
    assert (new.version, new.values["sentiment"]) == (2, 0.0)
    assert new == stored
