"""Signals nobody here knows: refused with the reason, kept as dead letters, and brought in once they are known."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import user_key_of, uuid7
from infra.settings import user_secret
from ingest.api import build_app
from ingest.consumer import FeedbackConsumer
from ingest.dead_letters import list_letters

if TYPE_CHECKING:
    from infra.runtime import Context


@pytest.fixture
def client(context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(context)) as client:
        yield client


def wave(**more: Any) -> dict[str, Any]:
    return {"event_id": str(uuid7()), "response_id": "r1", "signal": "wave", **more}


def letters(context: "Context") -> list[dict[str, Any]]:
    consumer = FeedbackConsumer(context)
    try:
        consumer.drain()
    finally:
        consumer.close()
    return [json.loads(letter.raw) for letter, _ in list_letters(context)]


def test_an_unknown_signal_is_refused_and_kept(client: TestClient, context: "Context") -> None:
    known = {"event_id": str(uuid7()), "response_id": "r1", "signal": "like"}
    strange = wave(user="alice", intensity=3, created_at=1_699_999_990, sent_at=1_699_999_995)
    answer = client.post("/v1/feedback", json=[known, strange])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 1)
    error = answer.json()["results"][1]["error"]
    assert (error["code"], error["field"]) == ("invalid_value", "signal")
    assert "kept as a dead letter" in error["message"]
    assert letters(context) == [
        {
            "event_id": strange["event_id"],
            "response_id": "r1",
            "signal": "wave",
            "intensity": 3,
            "source": "api",
            "user_key": user_key_of("alice", user_secret(context.settings)),
            "project": "default",
            "received_at": 1_700_000_000.0,
            "derived_at": 1_699_999_995.0,
        }
    ]
    ((letter, status),) = list_letters(context)
    assert (letter.reason, status, letter.project) == ("undecodable", "open", "default")
    assert "wave" in letter.detail


def test_alone_it_is_422_and_kept(client: TestClient, context: "Context") -> None:
    assert client.post("/v1/feedback", json=wave()).status_code == 422
    assert [letter["signal"] for letter in letters(context)] == ["wave"]


def test_what_nothing_could_be_done_with_is_refused_only(client: TestClient, context: "Context") -> None:
    hopeless = [wave(response_id="a b"), wave(text="x" * 40_000), {"signal": "wave"}]
    assert client.post("/v1/feedback", json=hopeless).status_code == 422
    assert letters(context) == []


def test_a_page_s_unknown_signal_is_kept_under_its_token(client: TestClient, context: "Context") -> None:
    issued = client.post("/v1/feedback/tokens", json={"response_id": "r7", "user": "alice"}).json()["token"]
    strange = {"event_id": str(uuid7()), "signal": "wave", "response_id": "r1", "user": "bob", "user_key": "b" * 32}
    body = {"token": issued, "nonce": "n" * 32, "events": [strange]}
    assert client.post("/v1/feedback/browser", json=body).status_code == 422
    (letter,) = letters(context)
    expected = user_key_of("alice", user_secret(context.settings))
    assert (letter["response_id"], letter["user_key"], letter["source"]) == ("r7", expected, "browser")
    assert "user" not in letter


def test_once_the_signal_is_known_a_replay_brings_it_in(client: TestClient, context: "Context") -> None:
    from ingest.dead_letters import replay_letter

    # The letter of a signal that came to be known: the same bytes with a signal this version has.
    client.post("/v1/feedback", json=wave(user="alice"))
    (letter,) = letters(context)
    import msgspec

    from infra.contracts import FeedbackEvent

    assert msgspec.json.decode(json.dumps({**letter, "signal": "share"}), type=FeedbackEvent).signal == "share"
    ((kept, _),) = list_letters(context)
    replay_letter(context, kept.letter_id)
    assert len(letters(context)) == 1  # still unknown here: it comes back as a letter of its own
    assert list_letters(context, status="replayed")[0][0].letter_id == kept.letter_id
