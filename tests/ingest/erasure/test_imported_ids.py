"""Answers imported under ids of their own, such as `now-1`: whole ids are looked for, never parts of others."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select

from infra.db.tables import consumer_offsets, dead_letters
from infra.event_log import Record
from ingest.erasure.letters import Needles
from ingest.erasure.mentions import ids_in
from ingest.erasure.service import erase
from ingest.rules import SAFE_ID
from ingest.topics import feedback_topic
from tests.ingest.builders import PROJECT, event, interaction
from tests.ingest.erasure.town import ANNA, BERT, drain, key_of
from tests.ingest.test_consumer import send, serve

if TYPE_CHECKING:
    from infra.runtime import Context

ABOUT_ANNA = [b'[{"broken": "now-1"}]', b"not json at all: (now-1)", b'[{"other": "1"}]']
ABOUT_BERT = [
    b'[{"broken": "now-10"}]',
    b'[{"broken": "know-1"}]',
    b'[{"broken": "now-1.b"}]',
    b'[{"broken": "11", "n": 7.1, "of": "1e3"}]',
]


def letters(context: "Context") -> set[bytes]:
    """Bytes of the dead letters, without the brackets of their records."""
    with context.database.reading() as connection:
        return {bytes(raw).strip(b"[]") for raw in connection.execute(select(dead_letters.c.raw)).scalars()}


def bare(values: list[bytes]) -> set[bytes]:
    return {value.strip(b"[]") for value in values}


def live(context: "Context") -> None:
    """Imported answers of two people, votes about them, and dead letters that name them."""
    anna, bert = key_of(context, ANNA), key_of(context, BERT)
    serve(context, *(interaction(name, user_key=anna) for name in ("now-1", "1")))
    serve(context, *(interaction(name, user_key=bert) for name in ("now-10", "know-1", "now-1.b", "11")))
    send(context, event("now-1", "like", user_key=anna), event("now-10", "like", user_key=bert))
    records = [Record(b"k", value, 0) for value in ABOUT_ANNA + ABOUT_BERT]
    context.event_log.append(feedback_topic(context.settings), records).result(30)
    drain(context)
    assert letters(context) == bare(ABOUT_ANNA + ABOUT_BERT)


def read_again(context: "Context") -> None:
    with context.database.transaction() as connection:
        connection.execute(delete(consumer_offsets))
        connection.execute(delete(dead_letters))
    drain(context)


def test_letters_about_other_peoples_answers_stay(context: "Context") -> None:
    live(context)
    receipt = erase(context, user=ANNA, actor="test")
    assert letters(context) == bare(ABOUT_BERT)
    assert receipt["rows_deleted"]["dead_letters"] == len(ABOUT_ANNA)
    read_again(context)
    assert letters(context) == bare(ABOUT_BERT), "and on the log as well"


def test_letters_about_erased_answers_do_not_come_back(context: "Context", monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Kafka, whose records stay."""
    live(context)
    monkeypatch.setattr("ingest.erasure.service.redact_log", lambda *_: {})
    erase(context, user=ANNA, actor="test")
    read_again(context)
    assert letters(context) == bare(ABOUT_BERT)


@given(st.from_regex(SAFE_ID, fullmatch=True), st.integers(0, 127), st.booleans())
def test_an_id_is_found_in_whatever_holds_it(item: str, number: int, flag: bool) -> None:
    document: Any = {"a": [number, item, number, flag], "b": item}
    for raw in (msgspec.json.encode(document), msgspec.msgpack.encode(document), item.encode()):
        assert item in set(ids_in(raw))
        assert Needles(PROJECT, ids=[item]).found_in(raw)


@given(st.from_regex(SAFE_ID, fullmatch=True), st.from_regex(SAFE_ID, fullmatch=True))
def test_another_id_is_not(item: str, other: str) -> None:
    if item != other:
        assert item not in set(ids_in(msgspec.json.encode({"": other})))


def test_long_runs_are_no_ids_and_take_no_time() -> None:
    assert set(ids_in(b'"' + b"a" * 2_000_000 + b'" b')) == {"b"}


def test_ids_that_are_uuids_are_found_inside_of_others() -> None:
    uuid = "0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"
    for item in (uuid, f"chatcmpl-{uuid}"):
        assert Needles(PROJECT, ids=[item]).found_in(f"x{uuid}x".encode())
    assert not Needles(PROJECT, ids=[f"{uuid}-1"]).found_in(f'"{uuid}-2"'.encode()), "two answers of one talk"
