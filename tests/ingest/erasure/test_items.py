"""Records of every format, read leniently and rewritten without some of their items; the others stay as they were."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC
from ingest.erasure.items import Items, read_feedback, read_interactions
from ingest.rows import row_of
from ingest.segments import encode_segment, join_segments
from tests.ingest.builders import event, feedback_record, interaction, interaction_record

EVENTS = [
    event(f"r{number}", "duel", other_response_id="x", user_key="k" * 32)
    if number % 2
    else event(f"r{number}", "comment", text='é"[{', user_key=None)
    for number in range(6)
]
CHATS = [interaction(f"r{number}", user_key="k" * 32 if number % 2 else None) for number in range(4)]


def segments() -> bytes:
    lots = [EVENTS[:2], EVENTS[2:5], EVENTS[5:]]
    return join_segments(
        [encode_segment("default", one[0].received_at, "api", [row_of(each) for each in one]) for one in lots]
    )


FORMATS = {
    "segments": (segments(), read_feedback),
    "json": (msgspec.json.encode(EVENTS), read_feedback),
    "interactions": (msgspec.msgpack.encode(CHATS), read_interactions),
}


def decoded(name: str, value: bytes) -> list[object]:
    if name == "interactions":
        placed, letters = INTERACTION_CODEC.decode(interaction_record([], value=value))
        assert letters == []
        return [one.item for one in placed]
    events, dead = FEEDBACK_CODEC.decode(feedback_record([], value=value))
    assert dead == []
    return [one.item for one in events]


@pytest.mark.parametrize("name", FORMATS)
def test_every_item_is_read_as_the_consumer_reads_it(name: str) -> None:
    value, read = FORMATS[name]
    items = read(value).items
    assert len(items) == len(decoded(name, value))
    for item, one in zip(items, decoded(name, value), strict=True):
        assert item.trace is not None
        assert item.project == "default"
        assert item.trace.response_id == one.response_id  # type: ignore[attr-defined]
        assert item.trace.user_key == one.user_key  # type: ignore[attr-defined]
        assert item.trace.event_id == getattr(one, "event_id", None)
        assert item.trace.other_response_id == getattr(one, "other_response_id", None)
        assert item.trace.at == getattr(one, "received_at", None) or item.trace.at == one.created_at  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FORMATS)
@given(gone=st.sets(st.integers(0, 5)))
def test_what_stays_is_what_it_was(name: str, gone: set[int]) -> None:
    value, read = FORMATS[name]
    before = decoded(name, value)
    gone = {position for position in gone if position < len(before)}
    after = decoded(name, read(value).without(gone))
    assert after == [one for position, one in enumerate(before) if position not in gone]


@pytest.mark.parametrize(
    ("value", "count"),
    [(b"nonsense", 1), (b'{"a": 1}', 1), (b'[{"a": 1}, {"b": 2}]', 2), (b"", 1), (b"\x91\x01", 1), (b"[" * 5000, 1)],
)
def test_what_nobody_can_read_is_bytes(value: bytes, count: int) -> None:
    read: Items = read_feedback(value)
    assert [item.trace for item in read.items] == [None] * count
    assert b"".join(item.raw for item in read.items) in (value, value[1:-1].replace(b", ", b""))
    emptied = read.without(set(range(count)))
    assert decoded("json", emptied) == []


def test_a_row_with_wrong_types_is_bytes_and_its_neighbour_is_read() -> None:
    good = list(row_of(EVENTS[0]))
    value = msgspec.msgpack.encode([[2, "default", 1.0, "api", [[1, 2], good, "k"]]])
    read = read_feedback(value)
    assert [item.trace is None for item in read.items] == [True, False, True]
    (left,) = msgspec.msgpack.decode(read.without({0, 2}))
    assert left[4] == [good]
