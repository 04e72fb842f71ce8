"""Every status that the document names is really given, and the table below names no other: request by request."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from infra.contracts import uuid7
from infra.db import Database, StoreUnavailable
from infra.event_log import EventLogUnavailable
from infra.settings.access import AccessSettings
from ingest.access.service import create_key
from ingest.api import build_app
from ingest.browser.script import script
from ingest.consumer import FeedbackConsumer
from ingest.schemas.openapi import document
from ingest.service import IngestService, TooMuchInFlight
from tests.ingest.schemas.bodies import GOOD_EVENTS

if TYPE_CHECKING:
    from infra.runtime import Context

Seen = set[tuple[str, str, int]]
LIKE = {**GOOD_EVENTS[1], "response_id": "r1"}
INTERACTION = {"messages": [{"role": "user", "content": "hi"}], "answers": ["hello"], "response_id": "their-17"}
SCORE = {"id": "s1", "traceId": "r1", "name": "user-feedback", "value": 1}
SCORES, ONE_SCORE, BATCHES = "/api/public/scores", "/api/public/scores/{score_id}", "/api/public/ingestion"
BROWSER, TOKENS, LABEL = "/v1/feedback/browser", "/v1/feedback/tokens", "/v1/labels/{response_id}"
GOOD_BODIES: dict[str, Any] = {
    "/v1/feedback": LIKE,
    "/v1/interactions": INTERACTION,
    TOKENS: {"response_id": "r1", "user": "alice"},
    "/feedback": {"metric_name": "thumbs_up", "value": True, "inference_id": "r1"},
    SCORES: SCORE,
    BATCHES: {"batch": [{"id": "b", "type": "score-create", "body": SCORE}]},
}
POSTS = [*GOOD_BODIES, BROWSER]
GETS = {LABEL: "/v1/labels/r1?choice=3", "/v1/feedback.js": None, "/openapi.json": None}
OPERATIONAL = ("/livez", "/healthz", "/readyz", "/metrics")


class Asker:
    """A client that remembers what it was answered, by the document's paths."""

    def __init__(self, client: TestClient, seen: Seen) -> None:
        self._client, self._seen = client, seen

    def ask(self, method: str, path: str, at: str | None = None, **more: Any) -> Any:
        answer = self._client.request(method, at or path, **more)
        self._seen.add((method, path, answer.status_code))
        return answer

    def good(self, path: str, **more: Any) -> Any:
        body = self.browser_body() if path == BROWSER else GOOD_BODIES[path]
        return self.ask("POST", path, json=body, **more)

    def browser_body(self, **more: Any) -> dict[str, Any]:
        token = self._client.post(TOKENS, json=GOOD_BODIES[TOKENS]).json().get("token")
        event = {"event_id": str(uuid7()), "signal": "like"}
        return {"token": token, "nonce": "n" * 32, "events": [event], **more}


@contextmanager
def asking(context: "Context", seen: Seen, **access: Any) -> Iterator[Asker]:
    chosen = context.settings.model_copy(update={"access": AccessSettings(**access)})
    object.__setattr__(context, "settings", chosen)
    with TestClient(build_app(context)) as client:
        yield Asker(client, seen)
    object.__setattr__(context, "settings", chosen.model_copy(update={"access": AccessSettings()}))


def drain(context: "Context") -> None:
    consumer = FeedbackConsumer(context)
    consumer.drain()
    consumer.close()


def well_and_badly(context: "Context", seen: Seen) -> None:
    """What a caller can do right and wrong, with everything running."""
    with asking(context, seen) as asker:
        for path in POSTS:
            asker.good(path)
            asker.ask("POST", path, content=b"{")
            asker.ask("POST", path, content=b" " * (5 << 20))
            asker.ask("POST", path, content=b"{}", headers={"content-encoding": "br"})
        asker.ask("POST", "/v1/feedback", json={**LIKE, "value": 7})
        asker.ask("POST", "/v1/interactions", json={**INTERACTION, "messages": []})
        asker.ask("POST", TOKENS, json={"response_id": "a b"})
        asker.ask("POST", "/feedback", json={**GOOD_BODIES["/feedback"], "metric_name": "other"})
        asker.ask("POST", SCORES, json=[SCORE])
        asker.ask("POST", SCORES, json=[SCORE, {**SCORE, "name": "other"}])
        asker.ask("POST", SCORES, json={**SCORE, "name": "other"})
        body = asker.browser_body()
        for wrong in ({}, {"events": [{"signal": "like"}]}, {"token": None}, {"response_id": "r2"}):
            asker.ask("POST", BROWSER, json={**body, **wrong})
        asker.ask("POST", BROWSER, json=body)
        drain(context)
        for path, at in GETS.items():
            asker.ask("GET", path, at)
        asker.ask("GET", "/v1/feedback.js", headers={"if-none-match": script()[1]})
        asker.ask("GET", LABEL, "/v1/labels/r9")
        asker.ask("GET", LABEL, "/v1/labels/r1?choice=x")
        asker.ask("DELETE", ONE_SCORE, "/api/public/scores/s1")
        asker.ask("DELETE", ONE_SCORE, "/api/public/scores/other")
        for path in OPERATIONAL:
            asker.ask("GET", path)


def with_keys(context: "Context", seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, a key of another scope, too often, and nobody there to check the key."""
    guarded = [path for path in POSTS if path != BROWSER]
    _, key = create_key(context, "chat only", ["infer"], actor="test")
    headers = {"authorization": f"Bearer {key}"}
    with asking(context, seen, require_keys=True) as asker:
        for more in ({}, {"headers": headers}):
            for path in guarded:
                asker.good(path, **more)
            asker.ask("GET", LABEL, "/v1/labels/r1", **more)
            asker.ask("DELETE", ONE_SCORE, "/api/public/scores/s1", **more)
    with asking(context, seen, requests_per_minute=0.001, request_burst=1) as asker:
        for path in ["/v1/feedback", *guarded]:
            asker.good(path)
        asker.ask("GET", LABEL, "/v1/labels/r1")
        asker.ask("DELETE", ONE_SCORE, "/api/public/scores/s1")
    with monkeypatch.context() as patch, asking(context, seen, require_keys=True) as asker:
        patch.setattr(Database, "reading", _no_store)
        patch.setattr(Database, "transaction", _no_store)
        asker.good(TOKENS, headers=headers)


def when_parts_are_away(context: "Context", seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that does not acknowledge, a store that is down, a front end that has too much in flight."""
    with monkeypatch.context() as patch:
        patch.setattr(context.event_log, "append", _no_log)
        patch.setattr(context.event_log, "healthy", lambda: "the disk is full")
        with asking(context, seen) as asker:
            for path in POSTS:
                if path != TOKENS:
                    asker.good(path)
            asker.ask("GET", "/readyz")
    with monkeypatch.context() as patch, asking(context, seen) as asker:
        patch.setattr(Database, "reading", _no_store)
        asker.ask("GET", LABEL, "/v1/labels/r1")
        asker.ask("DELETE", ONE_SCORE, "/api/public/scores/s1")
    with monkeypatch.context() as patch, asking(context, seen) as asker:
        patch.setattr(IngestService, "accept_events", _too_much)
        asker.good(BROWSER)


def _no_log(*_given: Any) -> "Future[Any]":
    failed: Future[Any] = Future()
    failed.set_exception(EventLogUnavailable("no acknowledgement"))
    return failed


def _no_store(*_given: Any) -> Any:
    raise StoreUnavailable("the store is down")


async def _too_much(*_given: Any) -> Any:
    raise TooMuchInFlight("too much")


def test_the_document_names_exactly_what_happens(sqlite_context: "Context", monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = set()
    well_and_badly(sqlite_context, seen)
    with_keys(sqlite_context, seen, monkeypatch)
    when_parts_are_away(sqlite_context, seen, monkeypatch)
    described = {
        (method.upper(), path, int(status))
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    assert sorted(seen - described) == []
    assert sorted(described - seen) == []
