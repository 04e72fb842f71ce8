"""The guard in front of a real Starlette application and the feedback API."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from infra.contracts import ManualClock, uuid7
from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.access.guard import access_middleware, needed_scope, verified_key
from ingest.access.service import create_key

PATHS = ("/v1/chat/completions", "/v1/feedback", "/v1/labels/r", "/v1/audit", "/healthz", "/metrics", "/v1/feedback.js")


@pytest.fixture
def client_of(sqlite_context: Context) -> Callable[..., TestClient]:
    def make(**access: Any) -> TestClient:
        settings = sqlite_context.settings.model_copy(update={"access": AccessSettings(**access)})
        context = Context(settings, sqlite_context.clock, sqlite_context.database, sqlite_context.event_log)

        async def say(request: Request) -> PlainTextResponse:
            key = verified_key(request.scope)
            return PlainTextResponse(key.name if key else "nobody")

        routes = [Route(path, say, methods=["GET", "POST"]) for path in PATHS]
        return TestClient(Starlette(routes=routes, middleware=access_middleware(context)))

    return make


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_without_settings_there_is_no_middleware(sqlite_context: Context) -> None:
    assert access_middleware(sqlite_context) == []


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/chat/completions", "infer"),
        ("/v1/models", "infer"),
        ("/v1/models/plaudit", "infer"),
        ("/v1/feedback", "feedback"),
        ("/v1/feedback/tokens", "feedback"),
        ("/v1/interactions", "feedback"),
        ("/feedback", "feedback"),
        ("/api/public/scores", "feedback"),
        ("/v1/labels/x", "read"),
        ("/console", None),  # signs people in by itself
        ("/v1/audit", "admin"),
        ("/v1/feedbackx", "admin"),
        ("/v1/modelsx", "admin"),
        ("/anything", "admin"),
        ("//v1/feedback", "admin"),
        ("/v1/feedback/browser", None),
        ("/v1/feedback.js", None),
        ("/healthz", None),
        ("/healthzx", "admin"),
    ],
)
def test_what_a_path_needs(path: str, scope: str | None) -> None:
    assert needed_scope(path, AccessSettings().open_paths) == scope


def test_keys_open_what_their_scopes_say(client_of: Callable[..., TestClient], sqlite_context: Context) -> None:
    client = client_of(require_keys=True)
    secrets = {
        scope: create_key(sqlite_context, scope, [scope], actor="test")[1]
        for scope in ("infer", "feedback", "read", "admin")
    }
    allowed = {
        scope: [path for path in PATHS if client.get(path, headers=bearer(secret)).status_code == 200]
        for scope, secret in secrets.items()
    }
    free = ["/healthz", "/metrics", "/v1/feedback.js"]
    assert allowed == {
        "infer": ["/v1/chat/completions", *free],
        "feedback": ["/v1/feedback", *free],
        "read": ["/v1/labels/r", *free],
        "admin": list(PATHS),
    }
    assert client.get("/v1/audit", headers=bearer(secrets["admin"])).text == "admin"
    password = base64.b64encode(f"pk-lf-1:{secrets['feedback']}".encode()).decode()
    assert client.get("/v1/feedback", headers={"Authorization": f"Basic {password}"}).text == "feedback"


@pytest.mark.parametrize("header", [{}, bearer("plk-wrong"), {"Authorization": "Basic ???"}, {"Authorization": "x"}])
def test_without_a_valid_key_each_route_answers_in_its_own_shape(
    client_of: Callable[..., TestClient], header: dict[str, str]
) -> None:
    client = client_of(require_keys=True)
    serving = client.post("/v1/chat/completions", headers=header)
    assert serving.status_code == 401
    assert serving.headers["www-authenticate"] == "Bearer"
    assert set(serving.json()["error"]) == {"message", "type", "param", "code"}
    assert serving.json()["error"]["code"] == "invalid_api_key"
    ingest = client.post("/v1/feedback", headers=header)
    assert ingest.status_code == 401
    assert set(ingest.json()["error"]) == {"code", "message", "field"}


def test_a_key_without_the_scope_is_told_which(client_of: Callable[..., TestClient], sqlite_context: Context) -> None:
    _, secret = create_key(sqlite_context, "shop", ["feedback"], actor="test")
    refused = client_of(require_keys=True).get("/v1/chat/completions", headers=bearer(secret))
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "insufficient_scope"
    assert "infer" in refused.json()["error"]["message"]


def test_each_key_has_its_own_rate(
    client_of: Callable[..., TestClient], sqlite_context: Context, clock: ManualClock
) -> None:
    client = client_of(require_keys=True, requests_per_minute=30, request_burst=2)
    one = bearer(create_key(sqlite_context, "one", ["feedback"], actor="test")[1])
    two = bearer(create_key(sqlite_context, "two", ["feedback"], actor="test")[1])
    assert [client.get("/v1/feedback", headers=one).status_code for _ in range(3)] == [200, 200, 429]
    limited = client.get("/v1/feedback", headers=one)
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"
    assert 2 <= int(limited.headers["retry-after"]) <= 3
    assert client.get("/v1/feedback", headers=two).status_code == 200
    assert client.get("/healthz").status_code == 200
    clock.advance(2)
    assert client.get("/v1/feedback", headers=one).status_code == 200


def test_guessing_is_slowed_down(client_of: Callable[..., TestClient]) -> None:
    client = client_of(require_keys=True, requests_per_minute=6, request_burst=3)
    codes = [client.get("/v1/feedback", headers=bearer(f"plk-{number}")).status_code for number in range(5)]
    assert codes == [401, 401, 401, 429, 429]


def test_without_keys_addresses_are_limited(client_of: Callable[..., TestClient]) -> None:
    client = client_of(requests_per_minute=6, request_burst=2)
    assert [client.get("/v1/feedback").status_code for _ in range(3)] == [200, 200, 429]


def test_cross_origin_calls_by_list(client_of: Callable[..., TestClient]) -> None:
    client = client_of(require_keys=True, cors_origins=("https://shop.test",))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = client.options("/v1/feedback", headers={"Origin": "https://shop.test", **asked})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://shop.test"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    refused = client.post("/v1/feedback", headers={"Origin": "https://shop.test"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.test", "the page may read why"
    stranger = client.options("/v1/feedback", headers={"Origin": "https://evil.test", **asked})
    assert stranger.status_code == 400
    assert (
        "access-control-allow-origin"
        not in client.post("/v1/feedback", headers={"Origin": "https://evil.test"}).headers
    )


def test_the_feedback_api_stands_behind_the_guard(sqlite_context: Context) -> None:
    from ingest.api import build_app

    settings = sqlite_context.settings.model_copy(update={"access": AccessSettings(require_keys=True)})
    context = Context(settings, sqlite_context.clock, sqlite_context.database, sqlite_context.event_log)
    from ingest.topics import feedback_topic

    context.event_log.ensure_topic(feedback_topic(settings))
    _, secret = create_key(context, "shop", ["feedback"], actor="test")
    event = {"event_id": str(uuid7()), "response_id": "r1", "signal": "like"}
    with TestClient(build_app(context)) as client:
        assert client.post("/v1/feedback", json=event).status_code == 401
        assert client.post("/v1/feedback", json=event, headers=bearer(secret)).status_code == 202
        assert client.get("/v1/labels/r1", headers=bearer(secret)).status_code == 403
        assert client.get("/healthz").status_code == 200
