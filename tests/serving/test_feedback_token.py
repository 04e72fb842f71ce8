"""Every answer of the gateway brings the token with which its page may react to it."""

import httpx

from infra.contracts import user_key_of, uuid7
from infra.settings import user_secret
from ingest.api import build_app
from ingest.tokens import HEADER, verify
from tests.serving.conftest import Served


def test_answers_and_streams_carry_their_token(served: Served) -> None:
    settings, clock = served.context.settings, served.context.clock
    secret = user_secret(settings)
    plain = served.chat(user="ann")
    streamed = served.chat(user="ann", stream=True)
    nobody = served.chat()
    for answer, key in ((plain, user_key_of("ann", secret)), (streamed, user_key_of("ann", secret)), (nobody, None)):
        token = verify([secret], settings.project, answer.headers[HEADER], clock.now())
        assert token.response_id == answer.headers["x-plaudit-response-id"]
        assert token.user_key == key
        assert token.expires_at - token.issued_at == settings.ingest.browser.token_lifetime_seconds


def test_the_door_takes_the_gateway_s_token(served: Served) -> None:
    from starlette.testclient import TestClient

    answer = served.chat(user="ann")
    body = {
        "token": answer.headers[HEADER],
        "nonce": "n" * 32,
        "response_id": answer.json()["id"],
        "events": [{"event_id": str(uuid7()), "signal": "like"}],
    }
    with TestClient(build_app(served.context)) as client:
        taken: httpx.Response = client.post("/v1/feedback/browser", json=body)
    assert taken.status_code == 202
