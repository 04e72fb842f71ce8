"""The compact format of the log: round trip, and everything that is wrong in it becomes a dead letter that can be sent
again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import FeedbackEvent
from ingest.codec import FEEDBACK_CODEC, WHOLE_RECORD, DeadLetter
from ingest.lots import lots_of
from ingest.rows import ROW_FIELDS, Row, event_of, row_of
from ingest.segments import decode_segments, encode_segment, is_segmented, join_segments
from tests.ingest.builders import PROJECT, START, event, feedback_record
from tests.ingest.test_apply import feedback


def record(*segments: bytes, offset: int = 0):  # type: ignore[no-untyped-def]
    return feedback_record([], offset, join_segments(segments))


def segment(*events: FeedbackEvent, project: str = PROJECT) -> bytes:
    return encode_segment(project, START + 10, "api", [row_of(one) for one in events])


def test_the_format_is_the_documented_one() -> None:
    one = event("r1", "dwell", value=2.5, user_key="k", device="mobile", derived_at=START - 1)
    assert msgspec.msgpack.decode(join_segments([segment(one)])) == [
        [
            2, PROJECT, START + 10, "api",
            [[one.event_id, "r1", 0, "dwell", "set", 2.5, None, None, 0, "k", START - 1, "mobile", None]],
        ]
    ]  # fmt: skip
    assert len(ROW_FIELDS) == 13


@given(st.lists(st.lists(feedback(), max_size=4), max_size=20))
def test_round_trip(groups: list[list[FeedbackEvent]]) -> None:
    value = join_segments([segment(*some) for some in groups])
    assert is_segmented(value)
    placed, letters = FEEDBACK_CODEC.decode(feedback_record([], 0, value))
    assert letters == []
    expected = [msgspec.structs.replace(one, received_at=START + 10) for some in groups for one in some]
    assert [msgspec.structs.replace(one.item, schema_version=1) for one in placed] == expected
    assert [one.position for one in placed] == list(range(len(expected)))
    lots = list(lots_of([feedback_record([], 0, value)], letters))
    assert ([event_of(row) for lot in lots for row in lot.ledger_rows()], letters) == (expected, [])
    assert [one.item for lot in lots for one in lot.placed()] == [one.item for one in placed]


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_any_number_of_segments(count: int) -> None:
    assert len(decode_segments(join_segments([encode_segment(PROJECT, START, "api", [])] * count))) == count


def test_json_is_told_apart() -> None:
    assert not is_segmented(FEEDBACK_CODEC.encode([event()]))
    assert not is_segmented(b"")


def test_a_bad_row_is_kept_alone_and_can_be_sent_again() -> None:
    good, fine = event("r1"), event("r2", "shown")
    wrong: list[Row] = [
        row_of(event("r3", "dwell", value=-1.0)),
        (*row_of(event("r4"))[:3], "lik", *row_of(event("r4"))[4:]),  # type: ignore[arg-type]
        row_of(event("r5"))[:5],  # type: ignore[list-item]
    ]
    value = join_segments([segment(good), encode_segment(PROJECT, START, "api", [*wrong, row_of(fine)])])
    placed, letters = FEEDBACK_CODEC.decode(feedback_record([], 7, value))
    assert [(one.item.response_id, one.position) for one in placed] == [("r1", 0), ("r2", 4)]
    assert [(letter.position, letter.project, letter.schema_version) for letter in letters] == [
        (position, PROJECT, 2) for position in (1, 2, 3)
    ]
    assert "dwell needs value" in letters[0].detail
    found: list[DeadLetter] = []
    assert [row[1] for lot in lots_of([feedback_record([], 7, value)], found) for row in lot.rows] == ["r1", "r2"]
    assert found == letters
    for letter in letters:
        again = FEEDBACK_CODEC.wrap(letter.raw)
        _, (same,) = FEEDBACK_CODEC.decode(feedback_record([], 8, again))
        assert (same.raw, same.detail) == (letter.raw, letter.detail)


@pytest.mark.parametrize(
    "segment",
    [
        encode_segment("No Project", START, "api", [row_of(event())]),
        encode_segment(PROJECT, START, "s" * 33, [row_of(event())]),
        encode_segment(PROJECT, START - 1, "api", [row_of(event())]),  # came before it happened
        encode_segment(PROJECT, float("nan"), "api", [row_of(event())]),
        encode_segment(PROJECT, float("inf"), "api", [row_of(event())]),
    ],
    ids=["project", "source", "before it happened", "no time", "no end"],
)
def test_what_all_share_must_be_right_too(segment: bytes) -> None:
    placed, letters = FEEDBACK_CODEC.decode(record(segment))
    assert (placed, len(letters)) == ([], 1)
    found: list[DeadLetter] = []
    assert not list(lots_of([record(segment)], found))
    assert found == letters


@pytest.mark.parametrize(
    "value",
    [b"\x91", b"\x91\x01", b"\x91\x95\x03\xa1p\xcb" + bytes(8) + b"\xa1s\x90"],
    ids=["no segment", "no number", "another number"],
)
def test_an_unknown_format_is_kept_whole(value: bytes) -> None:
    placed, (letter,) = FEEDBACK_CODEC.decode(feedback_record([], 0, value))
    assert placed == []
    assert (letter.position, letter.raw) == (WHOLE_RECORD, value)
    assert FEEDBACK_CODEC.wrap(letter.raw) == value
