"""The checks of whole columns let in exactly what the checks of single events let in."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.columns import all_choices, all_content, all_instants, all_right, all_safe_ids, all_user_keys, all_uuid7
from ingest.lots import columns_of
from ingest.rows import event_of, ledger_row_of
from ingest.rules import SAFE_ID, UUID7, check, check_ledger_fields
from tests.ingest.builders import event

GOOD = "0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"
OTHER = "0199c1f2-55a1-7c3e-8d61-6f1f5a1d2b71"


@st.composite
def nearly_uuids(draw: st.DrawFn) -> str:
    """A good id with some characters replaced, put in or taken out."""
    text = list(GOOD)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text) - 1))
        change = draw(st.sampled_from(["replace", "insert", "remove", "swap"]))
        if change == "replace":
            text[place] = draw(st.sampled_from("0af7g-A89bc \n\0é٣"))
        elif change == "insert":
            text.insert(place, draw(st.sampled_from("0-")))
        elif change == "remove":
            del text[place]
        else:
            other = draw(st.integers(0, len(text) - 1))
            text[place], text[other] = text[other], text[place]
    return "".join(text)


@given(st.lists(nearly_uuids(), max_size=4))
def test_uuids(ids: list[str]) -> None:
    assert all_uuid7(ids) == all(UUID7.fullmatch(item) is not None for item in ids)


def test_ids_whose_lengths_make_up_for_each_other() -> None:
    assert all_uuid7([GOOD, OTHER])
    assert not all_uuid7([GOOD + "0", OTHER[:-1]])
    assert not all_uuid7([GOOD.replace("-", "", 1) + "0", OTHER])


safe_ids = st.text(alphabet="aZ0._:@+=~-/ \n\0é", max_size=4) | st.sampled_from(["x" * 128, "x" * 129, "chatcmpl-1"])


@given(st.lists(safe_ids, max_size=5))
def test_safe_ids(ids: list[str]) -> None:
    assert all_safe_ids(ids) == all(SAFE_ID.fullmatch(item) is not None for item in ids)


def test_numbers_and_keys() -> None:
    assert all_choices([0, 1023])
    assert not all_choices([0, 1024])
    assert not all_choices([0, -1])
    assert all_instants([0.0, 5.0], [5.0, 5.0])
    assert not all_instants([1.0, 5.1], [5.0, 5.0])
    assert not all_instants([-0.5, 5.0], [5.0, 5.0])
    assert not all_instants([1.0, math.nan, 2.0], [5.0, 5.0, 5.0])
    assert not all_instants([math.nan, 1.0], [5.0, 5.0])
    assert all_user_keys([None, "k" * 64])
    assert not all_user_keys([None, "k" * 65])
    assert not all_user_keys(["a b"])


@st.composite
def events(draw: st.DrawFn) -> Any:
    signal = draw(st.sampled_from(["shown", "like", "dislike", "rating", "dwell", "copy", "report", "edit", "duel", "regenerate", "comment"]))  # fmt: skip # noqa: E501
    return event(
        draw(st.sampled_from(["r1", "r2", "r 3"])),
        signal,
        event_id=draw(st.sampled_from([GOOD, OTHER, "x"])),
        choice=draw(st.sampled_from([0, 1, -1, 1024])),
        operation=draw(st.sampled_from(["set", "withdraw"])),
        value=draw(st.sampled_from([None, 0.0, 0.5, 1.0, 3.0, 86401.0, -1.0, math.nan, math.inf])),
        text=draw(st.sampled_from([None, "", "fine", "a\0b", "x" * 20_001])),
        other_response_id=draw(st.sampled_from([None, "r1", "r2", "r 3"])),
        other_choice=draw(st.sampled_from([0, 1, -1, 2**40])),
        user_key=draw(st.sampled_from([None, "k", "k k", "k" * 65])),
        derived_at=draw(st.sampled_from([0.0, 5.0])),
        solicited=draw(st.sampled_from([None, 0.0, 0.02, 1.0, 1.5, math.nan])),
    )


@given(st.lists(events(), max_size=3))
def test_rows_are_right_exactly_when_each_event_is(some: list[Any]) -> None:
    right = all(
        check(one) is None
        and check_ledger_fields(one.project, one.user_key, one.source, one.derived_at, one.received_at) is None
        for one in some
    )
    rows = [ledger_row_of(one) for one in some]
    assert (not rows or all_right(rows, columns_of(rows), [one.received_at for one in some])) == right
    if not any(math.isnan(number) for one in some for number in (one.value, one.solicited) if number is not None):
        assert [event_of(row) for row in rows] == some


@pytest.mark.parametrize(
    ("signal", "more", "fits"),
    [
        ("shown", {}, True),
        ("shown", {"value": 0.5}, False),
        ("shown", {"text": "x"}, False),
        ("like", {}, True),
        ("like", {"value": 1.0}, True),
        ("like", {"value": 1.1}, False),
        ("dwell", {}, False),
        ("dwell", {"operation": "withdraw"}, True),
        ("dwell", {"value": 86400.0}, True),
        ("report", {}, True),
        ("report", {"text": "x"}, True),
        ("edit", {"text": ""}, False),
        ("edit", {"operation": "withdraw"}, True),
        ("comment", {"text": "x" * 20_000}, True),
        ("duel", {}, False),
        ("duel", {"other_response_id": "r1"}, False),
        ("duel", {"other_response_id": "r1", "other_choice": 1}, True),
        ("copy", {"other_response_id": "r2"}, False),
        ("copy", {"solicited": 0.02}, True),
        ("copy", {"solicited": 0.0}, False),
    ],
)
def test_content_by_hand(signal: str, more: dict[str, Any], fits: bool) -> None:
    row = ledger_row_of(event("r1", signal, **more))
    for rows in ([row], [ledger_row_of(event("r1", "shown")), row, row]):
        assert all_content(columns_of(rows), rows) is fits
