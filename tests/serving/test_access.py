"""API keys and limits at the gateway, seen through OpenAI's own client."""

import time
from collections.abc import Iterator

import httpx
import openai
import pytest

from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.access.service import create_key, revoke_key
from tests.serving.conftest import Served


@pytest.fixture
def guarded(context: Context) -> Iterator[Served]:
    access = AccessSettings(require_keys=True, cache_seconds=0.2, user_requests_per_minute=6, user_request_burst=2)
    settings = context.settings.model_copy(update={"access": access})
    gateway = Served(Context(settings, context.clock, context.database, context.event_log))
    gateway.start()
    yield gateway
    gateway.stop()


def client(served: Served, secret: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=secret, max_retries=0)


def ask(caller: openai.OpenAI, **more: str) -> str:
    said = caller.chat.completions.create(
        model="plaudit", messages=[{"role": "user", "content": "Hello?"}], max_tokens=4, **more
    )
    return said.id


def test_the_official_client_with_keys_good_and_bad(guarded: Served) -> None:
    _, infer = create_key(guarded.context, "app", ["infer"], actor="test")
    _, feedback = create_key(guarded.context, "votes", ["feedback"], actor="test")
    caller = client(guarded, infer)
    assert ask(caller).startswith("chatcmpl-")
    assert {model.id for model in caller.models.list()} == {"plaudit", "base"}
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(client(guarded, "plk-of-somebody-else"))
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError) as narrow:
        ask(client(guarded, feedback))
    assert narrow.value.code == "insufficient_scope"
    assert httpx.get(f"{guarded.url}/readyz").status_code == 200
    revoke_key(guarded.context, "app", actor="test")
    time.sleep(0.25)  # `access.cache_seconds`, by the real clock
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        caller.models.list()


def test_a_person_who_asks_too_often_waits(guarded: Served) -> None:
    caller = client(guarded, create_key(guarded.context, "app", ["infer"], actor="test")[1])
    for _ in range(2):
        ask(caller, user="anna")
    with pytest.raises(openai.RateLimitError) as limited:
        ask(caller, user="anna")
    assert limited.value.code == "rate_limit_exceeded"
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 10
    assert ask(caller, user="bert")
    assert ask(caller)


def test_a_body_nested_too_deep_is_a_clear_400(guarded: Served) -> None:
    _, secret = create_key(guarded.context, "app", ["infer"], actor="test")
    deep = b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"
    answer = httpx.post(
        f"{guarded.url}/v1/chat/completions", content=deep, headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "too_deeply_nested"
