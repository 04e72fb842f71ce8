"""What the door lets in, and how it says no."""

import json
from typing import Any

import msgspec
import pytest

from infra.contracts import FeedbackEvent, user_key_of
from ingest.access.nesting import TooDeeplyNested
from ingest.rules import Problem
from ingest.wire import FEEDBACK, INTERACTIONS, InvalidBody, Rejection, read_time, to_event

ID = "0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"
GOOD: dict[str, Any] = {"event_id": ID, "response_id": "chatcmpl-1", "signal": "like"}


def converted(document: Any) -> list[FeedbackEvent | Rejection]:
    parsed = FEEDBACK.parse(json.dumps(document).encode(), 100)
    return [item if isinstance(item, Rejection) else to_event(item, "p", b"s", 1000.0) for item in parsed]


def refused(**more: Any) -> Problem:
    (item,) = converted({**GOOD, **more})
    assert isinstance(item, Rejection), item
    return item.problem


@pytest.mark.parametrize("body", [GOOD, [GOOD], {"events": [GOOD]}])
def test_one_event_an_array_or_an_envelope(body: Any) -> None:
    (item,) = converted(body)
    assert isinstance(item, FeedbackEvent)
    assert (item.event_id, item.signal, item.derived_at, item.user_key) == (ID, "like", 1000.0, None)


def test_the_raw_user_ends_at_the_door() -> None:
    (item,) = converted({**GOOD, "user": "alice@example.org"})
    assert isinstance(item, FeedbackEvent)
    assert item.user_key == user_key_of("alice@example.org", b"s")
    assert b"alice" not in msgspec.json.encode(item)


def test_times_on_the_wire() -> None:
    (item,) = converted({**GOOD, "created_at": "1970-01-01T01:15:00+01:00", "sent_at": 950})
    assert isinstance(item, FeedbackEvent)
    assert item.derived_at == 1000.0 - (950 - 900)
    assert read_time("t", "1970-01-01T00:00:10Z") == 10.0


@pytest.mark.parametrize(
    ("change", "code", "field", "says"),
    [
        ({"event_id": "7e1b4e0e-4d5c-4f6e-8a54-0b1f0f5b9a11"}, "invalid_event_id", "event_id", "a version 4 UUID;"),
        ({"event_id": "x"}, "invalid_event_id", "event_id", "'x', not a UUID; make a version 7"),
        ({"event_id": ID.upper()}, "invalid_event_id", "event_id", "lower case"),
        ({"event_id": ID + "\n"}, "invalid_event_id", "event_id", "not"),
        ({"event_id": 7}, "wrong_type", "event_id", "a UUID version 7, made on the client"),
        ({"response_id": "a b"}, "invalid_reference", "response_id", "'a b'"),
        ({"response_id": ""}, "invalid_reference", "response_id", "1 to 128"),
        ({"response_id": "x" * 129}, "invalid_reference", "response_id", "1 to 128"),
        ({"signal": "lik"}, "invalid_value", "signal", "one of shown, like"),
        ({"operation": "delete"}, "invalid_value", "operation", "set or withdraw"),
        ({"choice": -1}, "invalid_value", "choice", "choice is -1"),
        ({"choice": "0"}, "wrong_type", "choice", "Expected `int`"),
        ({"colour": 1}, "unknown_field", "colour", "remove it"),
        ({"signal": "dwell"}, "missing_field", "value", "dwell needs value: active reading time in seconds"),
        ({"signal": "dwell", "value": -3}, "invalid_value", "value", "value is -3.0; dwell needs value"),
        ({"signal": "dwell", "value": 86401}, "invalid_value", "value", "in [0, 86400]"),
        ({"signal": "rating", "value": 5}, "invalid_value", "value", "divide stars by their maximum"),
        ({"signal": "shown", "value": 1}, "invalid_value", "value", "carries no value"),
        ({"signal": "share", "text": "x"}, "invalid_value", "text", "carries no text"),
        ({"signal": "edit"}, "missing_field", "text", "edit needs text"),
        ({"signal": "comment", "text": "a\0b"}, "invalid_value", "text", "U+0000"),
        ({"signal": "comment", "text": "x" * 20_001}, "invalid_value", "text", "20001 characters"),
        ({"signal": "duel"}, "missing_field", "other_response_id", "the answer that lost"),
        ({"signal": "regenerate", "operation": "withdraw"}, "missing_field", "other_response_id", "replaced this one"),
        ({"signal": "duel", "other_response_id": "chatcmpl-1"}, "invalid_reference", "other_response_id", "itself"),
        ({"other_response_id": "b"}, "invalid_value", "other_response_id", "about one answer"),
        ({"created_at": 1_700_000_000_000}, "invalid_time", "created_at", "not milliseconds"),
        ({"created_at": "yesterday"}, "invalid_time", "created_at", "ISO 8601"),
        ({"sent_at": "2024-01-01T00:00:00"}, "invalid_time", "sent_at", "add Z"),
        ({"user": "u" * 513}, "invalid_value", "user", "at most 512"),
    ],
)  # fmt: skip
def test_refusals_name_field_value_and_remedy(change: dict[str, Any], code: str, field: str, says: str) -> None:
    problem = refused(**change)
    assert (problem.code, problem.field) == (code, field)
    assert says in problem.message


def test_a_missing_field_is_named_with_its_remedy() -> None:
    (item,) = converted({"response_id": "r", "signal": "like"})
    assert isinstance(item, Rejection)
    assert (item.problem.code, item.problem.field) == ("missing_field", "event_id")
    assert item.problem.message.startswith("event_id is missing; event_id must be a UUID version 7")


def test_bad_events_do_not_harm_the_others() -> None:
    body = b'[%s, {"event_id": 5}, "x", {"event_id":"%s"}, %s]' % (
        json.dumps(GOOD).encode(),
        ID.encode(),
        json.dumps({**GOOD, "signal": "shown"}).encode(),
    )
    parsed = FEEDBACK.parse(body, 100)
    assert [item.item_id if isinstance(item, Rejection) else item.signal for item in parsed] == [
        "like",
        None,
        None,
        ID,
        "shown",
    ]


@pytest.mark.parametrize("envelope", [b"[%s]", b'{"events": [%s]}', b"%s"])
def test_half_a_surrogate_pair_becomes_a_replacement_character(envelope: bytes) -> None:
    comment = json.dumps({**GOOD, "signal": "comment", "text": "nice \ud83d\ude00 \ud83d"}).encode()
    (item,) = FEEDBACK.parse(envelope % comment, 100)
    assert not isinstance(item, Rejection)
    assert item.text == "nice \U0001f600 \ufffd"


def test_nesting_without_end_is_refused() -> None:
    for body in (b"[" * 100_000, b'{"events":' * 100_000, b'[{"event_id":' + b"[" * 100_000):
        with pytest.raises(TooDeeplyNested):
            FEEDBACK.parse(body, 100)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "no JSON object or array"),
        (b"{", 400, "no JSON"),
        (b"[1", 400, "no JSON array"),
        (b'"x"', 400, "no JSON object or array"),
        (b"[]", 422, "send at least one"),
        (b'{"events": {}}', 400, "no JSON array"),
        (b'{"events": [1], "mode": 2}', 400, "'mode' stands beside 'events'"),
        (b"[%s]" % b",".join([b"{}"] * 101), 413, "send at most 100"),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, status: int, says: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        FEEDBACK.parse(body, 100)
    assert caught.value.status == status
    assert says in caught.value.message


def test_interactions_are_read_the_same_way() -> None:
    from infra.contracts import Interaction
    from ingest.imports import to_interaction

    document = {
        "messages": [{"role": "user", "content": "hi"}],
        "answers": ["yes", "no"],
        "user": "u",
        "created_at": 9e9,
    }
    (wire,) = INTERACTIONS.parse(json.dumps(document).encode(), 10)
    assert not isinstance(wire, Rejection)
    made = to_interaction(wire, "p", b"s", 1000.0)
    assert isinstance(made, Interaction)
    assert (made.source, made.created_at, made.conversation_id) == ("imported", 1000.0, made.response_id)
    assert [(answer.choice, answer.text) for answer in made.answers] == [(0, "yes"), (1, "no")]
    for change, field in [
        ({"response_id": "a/b"}, "response_id"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "bot", "content": ""}]}, "messages[0].role"),
        ({"answers": []}, "answers"),
        ({"model": "m" * 129}, "model"),
        ({"created_at": "x"}, "created_at"),
    ]:
        (wire,) = INTERACTIONS.parse(json.dumps({**document, **change}).encode(), 10)
        assert not isinstance(wire, Rejection)
        refusal = to_interaction(wire, "p", b"s", 1000.0)
        assert isinstance(refusal, Rejection)
        assert refusal.problem.field == field
