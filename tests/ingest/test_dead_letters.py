"""Dead letters can be listed, shown, sent again and dropped."""

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event as events
from sqlalchemy import func, select

from infra.db.tables.feedback import feedback_events
from infra.event_log import Record
from ingest import dead_letters
from ingest.codec import FEEDBACK_CODEC, DeadLetter
from ingest.consumer import FeedbackConsumer
from ingest.log_repository import LogRepository
from ingest.topics import feedback_topic
from tests.ingest.builders import event
from tests.ingest.test_consumer import count, send

if TYPE_CHECKING:
    from infra.runtime import Context


def test_a_conflict_is_replayed_after_its_cause_is_gone(context: "Context", consumer: FeedbackConsumer) -> None:
    first = event("r1", "rating", value=0.1)
    other = event("r1", "rating", value=0.9, event_id=first.event_id)
    send(context, first, other)
    consumer.drain()
    ((letter, status),) = dead_letters.list_letters(context, reason="conflict")
    assert status == "open"
    assert dead_letters.show_letter(context, letter.letter_id)[0].raw == FEEDBACK_CODEC.encode([other])[1:-1]
    dead_letters.replay_letter(context, letter.letter_id)
    consumer.drain()
    ((again, _),) = dead_letters.list_letters(context)
    assert again.letter_id != letter.letter_id  # the cause remains: it comes back as a new letter
    with context.database.transaction() as connection:
        connection.execute(feedback_events.delete())
    dead_letters.replay_letter(context, again.letter_id)
    consumer.drain()
    assert dead_letters.list_letters(context) == []
    with context.database.reading() as connection:
        assert connection.execute(select(feedback_events.columns.value)).scalar() == 0.9
        assert connection.execute(select(func.count()).select_from(feedback_events)).scalar() == 1


def letter_of(project: str, number: int) -> DeadLetter:
    return DeadLetter(
        letter_id=f"{project or 'nobody'}-{number}",
        project=project,
        topic="plaudit.feedback",
        partition=0,
        log_offset=number,
        position=0,
        raw=b"{}",
        reason="undecodable",
        detail="",
        schema_version=0,
        received_at=float(number),
    )


def test_those_of_the_project_and_of_none_are_listed_oldest_first(context: "Context") -> None:
    owners = ["default", "", "another", "default", "", "default"]
    with context.database.transaction() as connection:
        repository = LogRepository(connection)
        repository.insert_letters(letter_of(project, number) for number, project in enumerate(owners))
        repository.set_letter_status("default-3", "replayed")

    def ids(**how: Any) -> list[str]:
        return [letter.letter_id for letter, _ in dead_letters.list_letters(context, **how)]

    assert ids() == ["default-0", "nobody-1", "nobody-4", "default-5"]
    assert ids(limit=3) == ["default-0", "nobody-1", "nobody-4"]
    assert ids(status=None) == ["default-0", "nobody-1", "default-3", "nobody-4", "default-5"]
    assert ids(status="replayed") == ["default-3"]
    assert ids(reason="conflict") == []


def test_listing_goes_by_the_index(sqlite_context: "Context") -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        asked.append((statement, parameters))

    with sqlite_context.database.reading() as connection:
        events.listen(connection, "before_cursor_execute", note)
        LogRepository(connection).letters("default", status=None)
        events.remove(connection, "before_cursor_execute", note)
        assert len(asked) == 6
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert "USING INDEX ix_dead_letters_project_status_received_at (project=? AND status=?)" in plan[0][-1]


def test_whole_records_keep_their_bytes_and_can_be_dropped(context: "Context", consumer: FeedbackConsumer) -> None:
    topic = feedback_topic(context.settings)
    context.event_log.ensure_topic(topic)
    context.event_log.append(topic, [Record(b"k", b"\x00\x01 no json", partition=2)]).result(10)
    consumer.drain()
    ((letter, _),) = dead_letters.list_letters(context)
    assert (letter.raw, letter.partition, letter.position) == (b"\x00\x01 no json", 2, -1)
    dead_letters.drop_letter(context, letter.letter_id)
    assert dead_letters.list_letters(context) == []
    assert [status for _, status in dead_letters.list_letters(context, status=None)] == ["dropped"]
    with pytest.raises(dead_letters.DeadLetterNotOpen, match="dropped already"):
        dead_letters.replay_letter(context, letter.letter_id)
    with pytest.raises(dead_letters.DeadLetterNotFound, match="list them first"):
        dead_letters.show_letter(context, "nothing")
    assert count(context, feedback_events) == 0
