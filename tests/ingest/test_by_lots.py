"""Lots into SQLite: what is new is told from what comes again, in whatever lot and order, and nothing is lost."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import select

from infra.db.tables.feedback import feedback_events, labels
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.lots import lots_of
from ingest.rows import row_of
from ingest.segments import encode_segment, join_segments
from tests.ingest.builders import PROJECT, START, event, feedback_record
from tests.ingest.test_provisional import LABELLING

if TYPE_CHECKING:
    from infra.contracts import FeedbackEvent
    from infra.db import Database
    from infra.event_log import StoredRecord


def record(*groups: "tuple[str, list[FeedbackEvent]]") -> "StoredRecord":
    """A record of segments, one for each (door, events)."""
    made = [encode_segment(PROJECT, START + 10, door, [row_of(one) for one in some]) for door, some in groups]
    return feedback_record([], value=join_segments(made))


def test_a_record_of_two_doors_is_two_lots_that_know_their_places() -> None:
    one, two, three = event("r1"), event("r2", "shown"), event("r3", "copy")
    lots = list(lots_of([record(("api", [one]), ("browser", [two]), ("api", [three]))], letters := []))
    assert [(lot.source, [row[1] for row in lot.rows]) for lot in lots] == [("api", ["r1", "r3"]), ("browser", ["r2"])]
    assert [[place.position for place in lot.placed()] for lot in lots] == [[0, 2], [1]]
    picked = lots[0].picked([1])
    assert [(picked.rows[0][1], picked.columns[1], picked.placed()[0].position)] == [("r3", ("r3",), 2)]
    assert letters == []


def test_large_polls_are_several_lots_and_an_empty_record_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [record(("api", [event(f"r{index}", "shown")])) for index in range(5)]
    monkeypatch.setattr("ingest.lots.LOT_BYTES", len(some[0].value) + 1)
    assert [len(lot.rows) for lot in lots_of([*some, record(("api", []))], [])] == [2, 2, 1]


def test_partitions_go_in_by_time_each_in_its_own_order() -> None:
    """Also where a clock was set back: of two events of one id the first of the partition counts."""
    written = [(0, 1.0), (0, 4.0), (0, 3.0), (1, 2.0), (1, 5.0)]  # (partition, time), as a poll gives them
    records = [
        msgspec.structs.replace(record(("api", [event(f"r{index}", "shown")])), partition=partition, timestamp=at)
        for index, (partition, at) in enumerate(written)
    ]
    assert [row[1] for lot in lots_of(records, []) for row in lot.rows] == ["r0", "r3", "r1", "r2", "r4"]


@pytest.mark.parametrize("odd_first", [True, False])
def test_of_several_of_one_id_the_first_counts_also_where_an_unusual_row_is_first(
    sqlite_database: "Database", odd_first: bool
) -> None:
    """Unusual rows go in behind the usual ones of their lot, unless their order matters."""
    usual = [event(f"r{index}", "shown") for index in range(8)]
    said = event("r9", "comment", text="Good.")
    same_id = msgspec.structs.replace(said, signal="shown", text=None)
    both = [said, same_id] if odd_first else [same_id, said]
    with sqlite_database.transaction() as connection:
        applied = FEEDBACK_HANDLER.apply(connection, [record(("api", [*usual, *both]))], LABELLING, START + 11)
        assert (applied.new, applied.duplicates, [letter.position for letter in applied.letters]) == (9, 0, [9])
        found = connection.execute(
            select(feedback_events.columns.signal).where(feedback_events.columns.event_id == said.event_id)
        ).scalar_one()
    assert found == both[0].signal


def test_nothing_absent_is_taken_for_something(sqlite_database: "Database") -> None:
    """None goes to the database as a number or text that no row has (`insert_ignore_columns`)."""
    rows: list[dict[str, Any]] = [
        {"signal": "dwell", "value": 0.0, "user_key": None, "device": None},
        {"signal": "shown", "value": None, "user_key": "ann", "device": None},
        {"signal": "like", "value": 1.0, "user_key": None, "device": "mobile"},
        {"signal": "copy", "value": None, "user_key": "ann", "device": "tablet"},
    ]
    events = [event(f"r{index}", **one) for index, one in enumerate(rows)]
    c = feedback_events.columns
    with sqlite_database.transaction() as connection:
        FEEDBACK_HANDLER.apply(connection, [record(("api", events))], LABELLING, START + 11)
        asked = select(c.signal, c.value, c.user_key, c.device, c.choice, c.operation, c.text).order_by(c.response_id)
        found = [row._asdict() for row in connection.execute(asked)]
        assert found == [{**one, "choice": 0, "operation": "set", "text": None} for one in rows]
        assert connection.execute(select(labels.columns.response_id)).scalars().all() == ["r0", "r1", "r2", "r3"]
