"""Doors without a key that take bodies are limited by address; health, metrics and the script always answer."""

import pytest
from starlette.testclient import TestClient

from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.api import build_app


@pytest.mark.parametrize("require_keys", [True, False])
def test_the_browser_door_has_the_rate_of_its_address(sqlite_context: Context, require_keys: bool) -> None:
    access = AccessSettings(require_keys=require_keys, requests_per_minute=6, request_burst=2)
    settings = sqlite_context.settings.model_copy(update={"access": access})
    context = Context(settings, sqlite_context.clock, sqlite_context.database, sqlite_context.event_log)
    with TestClient(build_app(context)) as client:
        answers = [client.post("/v1/feedback/browser", content=b"{}") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [400, 400, 429]
        assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert int(answers[-1].headers["retry-after"]) > 0
        for path in ("/healthz", "/readyz", "/metrics", "/v1/feedback.js", "/openapi.json"):
            assert [client.get(path).status_code for _ in range(3)] == [200] * 3


def test_without_a_rate_there_is_no_limit(sqlite_context: Context) -> None:
    settings = sqlite_context.settings.model_copy(update={"access": AccessSettings(require_keys=True)})
    context = Context(settings, sqlite_context.clock, sqlite_context.database, sqlite_context.event_log)
    with TestClient(build_app(context)) as client:
        assert {client.post("/v1/feedback/browser", content=b"{}").status_code for _ in range(80)} == {400}
