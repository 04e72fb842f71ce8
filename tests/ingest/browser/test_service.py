"""Tokens at work over HTTP: bound to a browser, refused elsewhere, and a repetition that changes nothing."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from infra.contracts import ManualClock, user_key_of, uuid7
from infra.db.tables.feedback import feedback_events
from infra.db.tables.tokens import token_uses
from infra.settings import user_secret
from ingest.api import build_app
from ingest.browser import service as door
from ingest.consumer import FeedbackConsumer

if TYPE_CHECKING:
    import httpx

    from infra.runtime import Context

NONCE = "n" * 32


@pytest.fixture
def client(context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(context)) as client:
        yield client


def token(client: TestClient, response_id: str = "r1", user: str | None = "alice") -> str:
    answer = client.post("/v1/feedback/tokens", json={"response_id": response_id, "user": user})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def event(signal: str = "like", **more: Any) -> dict[str, Any]:
    return {"event_id": str(uuid7()), "signal": signal, **more}


def send(
    client: TestClient, given: str | None, *events: dict[str, Any], nonce: str = NONCE, **more: Any
) -> "httpx.Response":
    document = {"token": given, "nonce": nonce, "events": list(events), "device": "desktop", **more}
    return client.post("/v1/feedback/browser", content=json.dumps(document), headers={"content-type": "text/plain"})


def code(answer: "httpx.Response") -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def stored(context: "Context") -> list[Any]:
    consumer = FeedbackConsumer(context)
    try:
        consumer.drain()
    finally:
        consumer.close()
    with context.database.reading() as connection:
        return list(connection.execute(select(feedback_events).order_by(feedback_events.columns.event_id)))


def uses(context: "Context") -> list[Any]:
    with context.database.reading() as connection:
        return list(connection.execute(select(token_uses)))


def test_events_are_the_person_s_own_and_about_the_answer(client: TestClient, context: "Context") -> None:
    answer = send(client, token(client), event("shown"), event("dwell", value=3.5), event(choice=1))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    rows = stored(context)
    assert {(row.response_id, row.source, row.device) for row in rows} == {("r1", "browser", "desktop")}
    assert {row.user_key for row in rows} == {user_key_of("alice", user_secret(context.settings))}
    assert [(row.signal, row.value, row.choice) for row in rows] == [
        ("shown", None, 0),
        ("dwell", 3.5, 0),
        ("like", None, 1),
    ]


def test_the_same_request_again_changes_nothing_and_is_told_so(client: TestClient, context: "Context") -> None:
    held, vote, back = token(client), event(), event(operation="withdraw")
    assert send(client, held, vote).status_code == 202
    again = send(client, held, vote)
    assert (again.status_code, again.json()["repeated"]) == (200, 1)
    assert again.json()["results"] == [{"status": "repeated", "event_id": vote["event_id"]}]
    mixed = send(client, held, vote, back, event("dwell", value=-1))
    assert (mixed.status_code, mixed.json()["accepted"], mixed.json()["repeated"]) == (202, 1, 1)
    assert [result["status"] for result in mixed.json()["results"]] == ["repeated", "accepted", "rejected"]
    assert len(stored(context)) == 2
    assert uses(context)[0].reserved == 2


def test_a_token_is_bound_to_the_browser_that_used_it_first(client: TestClient, context: "Context") -> None:
    held = token(client)
    assert send(client, held, event()).status_code == 202
    assert code(send(client, held, event("dislike"), nonce="m" * 32)) == (403, "token_replayed")
    with TestClient(build_app(context)) as restarted:
        assert code(send(restarted, held, event("dislike"), nonce="m" * 32)) == (403, "token_replayed")
        assert send(restarted, held, event("share")).status_code == 202
    assert [row.signal for row in stored(context)] == ["like", "share"]


def test_forged_expired_missing_and_foreign_tokens_are_refused(
    client: TestClient, context: "Context", clock: ManualClock
) -> None:
    held = token(client)
    forged = held[:-1] + ("A" if held[-1] != "A" else "B")
    assert code(send(client, forged, event())) == (401, "token_forged")
    assert code(send(client, None, event())) == (401, "token_missing")
    assert code(send(client, held, event(), response_id="r2")) == (403, "token_for_another_answer")
    clock.advance(context.settings.ingest.browser.token_lifetime_seconds)
    assert code(send(client, held, event())) == (401, "token_expired")
    assert (stored(context), uses(context)) == ([], [])


def test_events_of_one_token_are_bounded(client: TestClient, context: "Context") -> None:
    held, limit = token(client), context.settings.ingest.browser.max_events_per_token
    known = [event("dwell", value=i) for i in range(limit)]
    assert send(client, held, *known).json()["accepted"] == limit
    assert code(send(client, held, event())) == (403, "token_used_up")
    assert send(client, held, *known).json()["repeated"] == limit
    assert code(send(client, held, *[event() for _ in range(limit + 1)])) == (413, "too_many_items")


def test_what_the_log_did_not_take_is_not_remembered(
    client: TestClient, context: "Context", monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import Future

    from infra.event_log import EventLogUnavailable

    held, vote = token(client), event()
    failed: Future[Any] = Future()
    failed.set_exception(EventLogUnavailable("no acknowledgement"))
    with monkeypatch.context() as patch:
        patch.setattr(context.event_log, "append", lambda topic, records: failed)
        assert code(send(client, held, vote)) == (503, "event_log_unavailable")
    assert uses(context)[0].reserved == 0
    assert send(client, held, vote).status_code == 202


def test_two_answers_are_compared_by_their_tokens(client: TestClient, context: "Context") -> None:
    mine, other, theirs = token(client), token(client, "r2"), token(client, "r3", user="bob")
    won = send(client, mine, event("duel", other_token=other), event("duel", other_choice=1))
    assert won.json()["accepted"] == 2
    refused = send(client, mine, event("duel", other_token=theirs), event("like", other_token=other), event("duel"))
    assert refused.status_code == 422
    problems = [(result["error"]["code"], result["error"]["field"]) for result in refused.json()["results"]]
    assert problems[0] == ("invalid_reference", "other_token")
    assert problems[1] == ("invalid_value", "other_token")
    assert problems[2][0] == "missing_field"
    assert {(row.other_response_id, row.other_choice) for row in stored(context)} == {("r2", 0), ("r1", 1)}


def test_the_token_may_stand_beside_the_body(client: TestClient) -> None:
    held = token(client)
    body = json.dumps({"nonce": NONCE, "events": [event()]})
    headers = {"Authorization": f"Bearer {held}"}
    assert client.post("/v1/feedback/browser", content=body, headers=headers).status_code == 202
    # Addresses end up in logs: no token is taken from there.
    assert code(client.post(f"/v1/feedback/browser?token={held}", content=body)) == (401, "token_missing")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"nonce": "short", "events": []}', b'{"nonce": "nnnnnnnnnnnnnnnn"}', b"\xff"]
)
def test_bodies_that_are_none(client: TestClient, body: bytes) -> None:
    assert client.post("/v1/feedback/browser", content=body).status_code == 400


def test_a_page_names_no_user(client: TestClient) -> None:
    refused = send(client, token(client), event(user="bob"))
    assert refused.json()["results"][0]["error"]["code"] == "unknown_field"


def test_tokens_are_asked_for_ids_that_are_safe(client: TestClient) -> None:
    for document in ({"response_id": "a b"}, {"response_id": "r1", "user": "x" * 600}):
        assert client.post("/v1/feedback/tokens", json=document).status_code == 422
    assert client.post("/v1/feedback/tokens", json={"user": "x"}).status_code == 400


def test_expired_uses_are_swept_away(
    client: TestClient, context: "Context", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, token(client), event())
    clock.advance(context.settings.ingest.browser.token_lifetime_seconds + 1)
    later = time.monotonic() + door.SWEEP_EVERY_SECONDS
    monkeypatch.setattr(door.time, "monotonic", lambda: later)
    send(client, token(client, "r2"), event())
    assert len(uses(context)) == 1
