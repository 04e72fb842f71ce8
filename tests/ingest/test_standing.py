"""Labels that hear events as bits are the labels that the ledger makes, however the events are split into batches."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from infra.db.tables.feedback import feedback_events, labels
from ingest.closing import Closing, close
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import InteractionFacts
from ingest.ledger import PAIR_SIGNALS
from ingest.lots import columns_of
from ingest.repository import FeedbackRepository
from ingest.rows import LedgerRow, event_of, row_of
from ingest.rules import RULES
from ingest.standing import BITS, NOBODY, NOTHING, Heard, Label, heard_of, signals_of
from tests.ingest.builders import PROJECT, START, event, feedback_record, interaction, interaction_record
from tests.ingest.test_provisional import LABELLING, ledgers, reference

if TYPE_CHECKING:
    from infra.db import Database

ANSWER = ("r1", 0)


def test_bits_by_hand() -> None:
    assert heard_of((("shown", "set", None), ("dwell", "set"), ("dwell", "set"))) == BITS["shown"] | BITS["dwell"] == 3
    assert signals_of(3 | BITS["copy"]) == ["shown", "dwell", "copy"]
    for strange in [("rating", "set", 0.5), ("like", "withdraw", None), ("dislike", "set", 0.9), ("duel", "set", None)]:
        assert heard_of((("shown", "set", None), strange)) == NOTHING
    assert heard_of((("like", "set", None), ("dislike", "set", None))) == NOTHING


def test_every_signal_has_a_bit_of_its_own_or_a_reason_to_have_none() -> None:
    assert set(RULES) - set(BITS) == PAIR_SIGNALS | {"rating"}
    assert sorted(BITS.values()) == [1 << place for place in range(len(BITS))]


def heard(*rows: tuple[str, dict[str, Any]]) -> Heard:
    """What events about r1 do: (signal, other fields)."""
    found = Heard()
    found.hear(columns_of([row_of(event("r1", signal, **more)) for signal, more in rows]))
    return found


def compared(found: Heard, *standing: tuple[int, str]) -> tuple[dict[str, int], dict[str, Label]]:
    """What is to be written where r1 has these labels: (bits, voter)."""
    responses = sorted(found.fast())
    return found.compare(responses, [(place, *label) for place in range(len(responses)) for label in standing])


def test_a_strength_a_second_person_or_the_opposite_vote_goes_to_the_ledger() -> None:
    stands = (BITS["shown"] | BITS["like"], "ann")
    for signal, more in [
        ("dislike", {"user_key": "ann"}),
        ("like", {"user_key": "ann", "value": 0.5}),
        ("copy", {"user_key": "bob"}),
        ("copy", {"user_key": None}),
        ("shown", {"user_key": "ann", "operation": "withdraw"}),
        ("rating", {"user_key": "ann", "value": 0.5}),
    ]:
        found = heard((signal, more))
        assert (compared(found, stands), found.slow) == (({}, {}), {ANSWER}), (signal, more)
    found = heard(("dwell", {"user_key": "ann", "value": 3.0}), ("copy", {"user_key": "ann"}))
    assert compared(found, stands) == ({"r1": 3 | BITS["like"] | BITS["copy"]}, {})
    assert found.slow == set()
    assert compared(heard(("shown", {"user_key": "ann"})), stands) == ({}, {})


def test_an_answer_with_a_label_is_not_taken_for_new() -> None:
    shown = ("shown", {"user_key": None})
    found = heard(shown)
    assert (compared(found), found.slow) == (({}, {"r1": [1, NOBODY]}), set())
    for stands in ([(NOTHING, NOBODY)], [(NOTHING, NOBODY), (1, NOBODY)]):
        found = heard(shown)
        assert (compared(found, *stands), found.slow) == (({}, {}), {ANSWER})
    two = (("like", {"user_key": "ann"}), ("dislike", {"user_key": "ann"}))
    for rows in (two, (shown, ("shown", {"user_key": "ann"}))):
        found = heard(*rows)
        assert (compared(found), found.slow) == (({}, {}), {ANSWER})


def test_other_answers_of_a_response_go_to_the_ledger() -> None:
    found = heard(("like", {"choice": 1}), ("shown", {}))
    assert compared(found) == ({}, {"r1": [1, NOBODY]})
    assert found.slow == {("r1", 1)}


@pytest.mark.parametrize("close_after", [None, 1])
@given(
    rows=ledgers(), owner=st.sampled_from([None, "ann"]), sizes=st.lists(st.integers(1, 3), min_size=10, max_size=10)
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_into_batches_makes_the_label_of_the_ledger(
    sqlite_database: "Database", close_after: int | None, rows: list[LedgerRow], owner: str | None, sizes: list[int]
) -> None:
    """Also where some come twice, and where a final label was made in between."""
    events = [event_of(row) for row in rows]
    with sqlite_database.engine.connect() as connection, connection.begin() as transaction:
        INTERACTION_HANDLER.apply(
            connection, [interaction_record([interaction("r1", user_key=owner)])], LABELLING, START
        )
        for index, size in enumerate(sizes):
            batch = [*events[:size], *events[: size % 2]]
            if batch:
                FEEDBACK_HANDLER.apply(connection, [feedback_record(batch)], LABELLING, START)
            if index == close_after:
                close(connection, PROJECT, [ANSWER], Closing(LABELLING, START))
            events = events[size - 1 :] if size > 1 and index < 5 else events[size:]  # the last of a batch comes again
            _compare(connection, owner)
        assert not events or len(events) < len(rows)
        transaction.rollback()


def _compare(connection: Connection, owner: str | None) -> None:
    """What stands is what the reference makes of the ledger as it is, and its bits are the ledger's."""
    rows = list(FeedbackRepository(connection, PROJECT).events(_ids(connection)).values())
    found = connection.execute(select(labels).where(labels.columns.version == 0)).mappings().all()
    expected = reference(rows, InteractionFacts(owner, START - 10, None))
    for label in found:
        said = {name: label[name] for name in ("objective_values", "weights", "events_counted", "window_closes_at")}
        assert said == {name: expected[name] for name in said}
        if label["heard"]:
            assert (label["heard"], label["user_key"]) == (expected["heard"], expected["user_key"])


def _ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(feedback_events.columns.event_id)).scalars())


def test_the_ledger_is_left_alone_where_bits_tell(sqlite_database: "Database", monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []
    told = FeedbackRepository.told
    monkeypatch.setattr(FeedbackRepository, "told", lambda self, ids: asked.append(set(ids)) or told(self, asked[-1]))
    with sqlite_database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record([interaction("r1")])], LABELLING, START)
        for signal, heard in [("shown", 1), ("dwell", 3), ("copy", 3 | BITS["copy"])]:
            one = event("r1", signal, value=2.0 if signal == "dwell" else None, user_key="ann")
            applied = FEEDBACK_HANDLER.apply(connection, [feedback_record([one, one])], LABELLING, START)
            again = FEEDBACK_HANDLER.apply(connection, [feedback_record([one])], LABELLING, START)
            assert (applied.new, applied.duplicates, again.new, again.duplicates) == (1, 1, 0, 1)
            assert connection.execute(select(labels.columns.heard)).scalar_one() == heard
        assert not asked
        taken = msgspec.structs.replace(one, signal="share")
        applied = FEEDBACK_HANDLER.apply(connection, [feedback_record([taken])], LABELLING, START)
        assert [letter.reason for letter in applied.letters] == ["conflict"]
