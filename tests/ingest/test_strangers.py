"""Signals nobody here knows: refused with the reason, kept as dead letters, and brought in once they are known."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import user_key_of, uuid7
from infra.settings import user_secret
from infra.settings.access import AccessSettings
from ingest.access.limits import RateLimited
from ingest.api import build_app
from ingest.consumer import FeedbackConsumer
from ingest.dead_letters import list_letters
from ingest.results import BatchResult
from ingest.service import IngestService, TooMuchInFlight
from ingest.strangers import MAX_KEPT

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
    return [json.loads(letter.raw) for letter, _ in list_letters(context, limit=1000)]


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


def test_only_fields_that_every_event_has_are_kept(client: TestClient, context: "Context") -> None:
    nested = {"user": "alice", "metadata": {"user": "alice"}, "people": ["alice"], "user_key": "a" * 32}
    odd = wave(**nested, value="much", text={"user": "alice"}, other_choice=["alice"], device="phone", choice=2)
    client.post("/v1/feedback", json=odd)
    (letter,) = letters(context)
    assert set(letter) == {
        "event_id", "response_id", "signal", "choice", "value", "device",
        "source", "user_key", "project", "received_at", "derived_at",
    }  # fmt: skip
    assert (letter["value"], letter["device"], letter["choice"]) == ("much", "phone", 2)
    assert letter["user_key"] == user_key_of("alice", user_secret(context.settings))
    assert "alice" not in json.dumps(letter)


def test_of_one_request_so_many_are_kept_and_the_message_says_so(client: TestClient, context: "Context") -> None:
    answer = client.post("/v1/feedback", json=[wave(response_id=f"r{n}") for n in range(MAX_KEPT + 5)])
    told = [result["error"]["message"] for result in answer.json()["results"]]
    assert ["it is kept" in message for message in told] == [True] * MAX_KEPT + [False] * 5
    assert ["it is not kept" in message for message in told] == [False] * MAX_KEPT + [True] * 5
    assert len(letters(context)) == MAX_KEPT


def test_they_wait_for_the_log_as_events_do(sqlite_context: "Context", monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: Future[Any] = Future()
    monkeypatch.setattr(sqlite_context.event_log, "append", lambda topic, records: waiting)
    small = sqlite_context.settings.ingest.model_copy(update={"max_in_flight_events": 5})
    object.__setattr__(sqlite_context, "settings", sqlite_context.settings.model_copy(update={"ingest": small}))
    service = IngestService(sqlite_context)

    async def scenario() -> None:
        first: asyncio.Task[Any] = asyncio.create_task(  # noqa: RUF006 -- awaited below
            service.accept_feedback(json.dumps([wave() for _ in range(4)]).encode())
        )
        await asyncio.sleep(0)
        with pytest.raises(TooMuchInFlight):
            await service.accept_feedback(json.dumps([wave(), wave()]).encode())
        waiting.set_result([])
        assert (await first).rejected == 4

    asyncio.run(scenario())


def test_they_count_towards_their_person_s_rate(sqlite_context: "Context") -> None:
    access = AccessSettings(user_events_per_minute=6, user_event_burst=2)
    settings = sqlite_context.settings.model_copy(update={"access": access})
    object.__setattr__(sqlite_context, "settings", settings)
    service = IngestService(sqlite_context)
    bodies = [wave(user="anna"), wave(user="anna"), wave(user="anna"), wave(user="bert", signal="like")]
    result = asyncio.run(service.accept_feedback(json.dumps(bodies).encode()))
    assert isinstance(result, BatchResult)
    assert [one.error.code if one.error else None for one in result.results] == [
        "invalid_value", "invalid_value", "rate_limited", None
    ]  # fmt: skip
    assert len(letters(sqlite_context)) == 2
    with pytest.raises(RateLimited):
        asyncio.run(service.accept_feedback(json.dumps(wave(user="anna")).encode()))


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
