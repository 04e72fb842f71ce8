"""Order, repetition and batching change nothing: the same events end in the same labels and pairs."""

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from infra.contracts import FeedbackEvent, Interaction
from infra.db.tables.feedback import dead_letters, feedback_events
from infra.settings.ingest import IngestSettings
from ingest.closing import Closing, close
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository
from tests.ingest.builders import (
    PROJECT,
    START,
    event,
    feedback_record,
    interaction,
    interaction_record,
    newest_labels,
    pairs_that_hold,
)

if TYPE_CHECKING:
    from infra.db import Database

LABELLING = Labelling.of(IngestSettings(window_seconds=100.0))
RESPONSES = ("r1", "r2", "r3")
Item = FeedbackEvent | Interaction


@st.composite
def feedback(draw: st.DrawFn) -> FeedbackEvent:
    signal = draw(st.sampled_from(["shown", "like", "dislike", "dwell", "copy", "duel", "regenerate", "comment"]))
    response_id = draw(st.sampled_from(RESPONSES))
    other = draw(st.sampled_from([r for r in RESPONSES if r != response_id]))
    return event(
        response_id,
        signal,
        choice=draw(st.sampled_from([0, 0, 0, 1])),
        operation=draw(st.sampled_from(["set", "set", "set", "withdraw"])),
        derived_at=draw(st.sampled_from([START, START + 1, START + 2])),
        user_key=draw(st.sampled_from([None, "owner", "guest"])),
        value=3.0 if signal == "dwell" else None,
        text="hm" if signal == "comment" else None,
        other_response_id=other if signal in ("duel", "regenerate") else None,
    )


def apply_batch(connection: Connection, items: list[Item]) -> None:
    events = [item for item in items if isinstance(item, FeedbackEvent)]
    served = [item for item in items if isinstance(item, Interaction)]
    # Which topic comes first is as undecided as the rest: interactions of a batch go in after its events.
    FEEDBACK_HANDLER.apply(connection, [feedback_record(events)], LABELLING, START)
    INTERACTION_HANDLER.apply(connection, [interaction_record(served)], LABELLING, START)


def close_all(connection: Connection) -> None:
    repository = FeedbackRepository(connection, PROJECT)
    close(connection, PROJECT, repository.due(float("1e12"), 1000), Closing(LABELLING, START))


def outcome(database: "Database", batches: list[list[Item]], close_after: int) -> tuple[Any, Any, Any]:
    """Labels, pairs and ledger after applying the batches, windows closed in between and at the end; rolled back."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        for index, batch in enumerate(batches):
            apply_batch(connection, batch)
            if index == close_after:
                close_all(connection)
        close_all(connection)
        counted = connection.execute(select(func.count()).select_from(feedback_events)).scalar()
        letters = connection.execute(select(func.count()).select_from(dead_letters)).scalar()
        assert letters == 0
        found = newest_labels(connection), pairs_that_hold(connection), counted
        transaction.rollback()
    return found


def shuffled_batches(items: list[Item], shuffler: random.Random) -> list[list[Item]]:
    again = [item for item in items if shuffler.random() < 0.4]
    everything = items + again
    shuffler.shuffle(everything)
    batches: list[list[Item]] = [[] for _ in range(shuffler.randint(1, 5))]
    for item in everything:
        shuffler.choice(batches).append(item)
    return batches


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(feedback(), min_size=1, max_size=14),
    known=st.sets(st.sampled_from(RESPONSES)),
    shuffler=st.randoms(use_true_random=False),
)
def test_any_order_repetition_and_batching_ends_the_same(
    sqlite_database: "Database", events: list[FeedbackEvent], known: set[str], shuffler: random.Random
) -> None:
    items: list[Item] = [*events, *(interaction(response_id, user_key="owner") for response_id in sorted(known))]
    expected = outcome(sqlite_database, [items], close_after=0)
    batches = shuffled_batches(items, shuffler)
    assert outcome(sqlite_database, batches, close_after=shuffler.randrange(len(batches))) == expected
    assert expected[2] == len(events)
    assert set(expected[0]) == {(e.response_id, e.choice) for e in events}


def test_the_same_on_every_store(database: "Database") -> None:
    draw = random.Random(7)
    items: list[Item] = [interaction(r, user_key="owner") for r in RESPONSES]
    items += [event("r1", "shown"), event("r1", "like", user_key="owner"), event("r1", "dwell", value=12.0)]
    items += [
        event("r1", "duel", other_response_id="r2"),
        event("r2", "duel", other_response_id="r1", derived_at=START + 1),
    ]
    labels, pairs, _ = outcome(database, shuffled_batches(items, draw), close_after=0)
    # Expected reading time of 20 characters: 2 + 20 / 20 = 3 s; 12 s are 4 times that.
    assert labels["r1", 0]["objective_values"] == {
        "love": 1.0,
        "sentiment": 1.0,
        "dwell": 1 - 2**-4,
        "reuse": 0.0,
        "share": 0.0,
        "harm": 0.0,
    }
    assert labels["r1", 0]["window_closes_at"] == START - 10 + 100
    assert [(p["preferred_response_id"], p["user_key"]) for p in pairs] == [("r2", "owner")]


def test_only_touched_answers_are_remade(sqlite_database: "Database") -> None:
    with sqlite_database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(
            connection, [feedback_record([event(f"r{i}") for i in range(50)])], LABELLING, START
        )
        assert applied.labels == 50
        applied = FEEDBACK_HANDLER.apply(connection, [feedback_record([event("r7", "copy")])], LABELLING, START)
        assert applied.labels == 1


def test_same_id_same_content_is_a_duplicate_and_other_content_a_dead_letter(database: "Database") -> None:
    first = event("r1", "rating", value=0.5)
    later = event("r1", "rating", value=0.5, event_id=first.event_id, derived_at=START + 9)
    other = event("r1", "rating", value=0.7, event_id=first.event_id)
    fine = event("r1", "shown")
    with database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(connection, [feedback_record([first, other, later, fine])], LABELLING, START)
        assert (applied.new, applied.duplicates) == (2, 1)
        again = FEEDBACK_HANDLER.apply(connection, [feedback_record([other], offset=1)], LABELLING, START)
        assert (again.new, again.duplicates, len(again.letters)) == (0, 0, 1)
        (row,) = connection.execute(select(dead_letters).where(dead_letters.columns.log_offset == 0)).all()
        stored = connection.execute(
            select(feedback_events.columns.value).where(feedback_events.columns.event_id == first.event_id)
        ).scalar()
    assert stored == 0.5
    assert (row.reason, row.position, row.status) == ("conflict", 1, "open")
    assert b'"value":0.7' in bytes(row.raw)


def test_an_interaction_with_other_content_is_a_dead_letter(database: "Database") -> None:
    with database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record([interaction("r1")])], LABELLING, START)
        applied = INTERACTION_HANDLER.apply(
            connection,
            [interaction_record([interaction("r1", created_at=START + 5), interaction("r1", conversation_id="c9")], 1)],
            LABELLING,
            START,
        )
    assert (applied.new, applied.duplicates) == (0, 1)
    assert [letter.reason for letter in applied.letters] == ["conflict"]


def test_projects_are_apart(database: "Database") -> None:
    one = event("r1", "like")
    two = event("r1", "dislike", event_id=one.event_id, project="other")
    with database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(connection, [feedback_record([one, two])], LABELLING, START)
        assert (applied.new, applied.letters) == (2, [])
        label, _ = FeedbackRepository(connection, "other").current_label("r1", 0)
    assert label is not None
    assert label.values["sentiment"] == 0.0


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'{"event_id":1}', "event_id"),
        (b'{"nonsense":true}', "missing required field"),
        (b'"text"', "Expected `object`"),
        (b'{"event_id":"0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70","project":"default","response_id":"r1","signal":"dwell",'
         b'"value":-1,"received_at":1,"derived_at":1,"schema_version":3}', "dwell needs value"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_kept_and_the_rest_of_the_record_lives(
    database: "Database", raw: bytes, detail: str
) -> None:
    from ingest.codec import FEEDBACK_CODEC

    good = FEEDBACK_CODEC.encode([event("r1")])[1:-1]
    record = feedback_record([], offset=5, value=b"[" + raw + b"," + good + b"]")
    with database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(connection, [record], LABELLING, START)
        row = connection.execute(select(dead_letters)).one()
    assert applied.new == 1
    assert (bytes(row.raw), row.position, row.log_offset, row.reason) == (raw, 0, 5, "undecodable")
    assert detail in row.detail
    assert row.schema_version == (3 if b"schema_version" in raw else 0)


def test_a_record_that_is_no_array_is_kept_whole(database: "Database") -> None:
    with database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(
            connection, [feedback_record([], value=b"\x00\xff"), feedback_record([event()], offset=1)], LABELLING, START
        )
        broken = INTERACTION_HANDLER.apply(connection, [interaction_record([], value=b"\xc1")], LABELLING, START)
    assert applied.new == 1
    assert [(letter.position, letter.raw) for letter in applied.letters + broken.letters] == [
        (-1, b"\x00\xff"),
        (-1, b"\xc1"),
    ]


@pytest.mark.postgres
def test_two_consumers_on_one_answer_wait_for_each_other(postgres_database: "Database") -> None:
    """One has the interaction, the other the feedback, both uncommitted: without a lock the label knows half."""
    import threading

    def feedback_side() -> None:
        with postgres_database.transaction() as connection:
            FEEDBACK_HANDLER.apply(connection, [feedback_record([event("r1", "dwell", value=3.0)])], LABELLING, START)

    thread = threading.Thread(target=feedback_side)
    with postgres_database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record([interaction("r1")])], LABELLING, START)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the second consumer must wait"
    thread.join(10)
    with postgres_database.reading() as connection:
        label, _ = FeedbackRepository(connection, PROJECT).current_label("r1", 0)
    assert label is not None
    assert label.window_closes_at == START - 10 + 100
