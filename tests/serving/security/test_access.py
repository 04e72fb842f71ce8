"""The security list of the gateway, as it runs beside the feedback API with API keys required."""

import ast
import hmac
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.contracts import uuid7
from infra.settings import user_secret
from ingest import tokens
from ingest.access.keys import hash_of
from ingest.access.repository import KeyRepository
from ingest.access.service import create_key, revoke_key
from tests.serving.shop import BODY, CHAT, SCOPES, Shop, raw

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", CHAT, "infer"),
        ("POST", "/v1/completions", "infer"),
        ("GET", "/v1/models", "infer"),
        ("GET", "/v1/models/base", "infer"),
        ("POST", "/v1/feedback", "feedback"),
        ("POST", "/v1/feedback/tokens", "feedback"),
        ("POST", "/v1/interactions", "feedback"),
        ("POST", "/feedback", "feedback"),
        ("POST", "/api/public/scores", "feedback"),
        ("GET", "/v1/labels/r1", "read"),
        ("GET", "/v1/whatever-comes-later", "admin"),
    ],
)
def test_a_key_of_another_scope_opens_nothing(shop: Shop, method: str, path: str, needed: str) -> None:
    with httpx.Client(base_url=shop.served.url) as client:
        assert client.request(method, path).status_code == 401
        for scope in SCOPES:
            status = client.request(method, path, headers=shop.headers(scope), content=b"{}").status_code
            assert (status == 403) == (scope not in (needed, "admin")), scope


@pytest.mark.parametrize(
    "path",
    ["//v1/chat/completions", "/v1/chat/../chat/completions", "/V1/chat/completions", "/v1/models/../../metrics/x"],
)
def test_another_spelling_of_a_path_opens_nothing(shop: Shop, path: str) -> None:
    """Sent as they stand: clients would tidy them up."""
    status, _ = raw(shop.served, f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}")
    assert status == 401
    key = shop.keys["feedback"]
    status, _ = raw(
        shop.served, f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    assert status in (403, 404)


def test_a_revoked_key_is_refused_within_the_time_that_is_promised(shop: Shop) -> None:
    _, secret = create_key(shop.served.context, "leaver", ["infer"], actor="test")
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.post(shop.served.url + CHAT, json=BODY, headers=headers).status_code == 200
    revoke_key(shop.served.context, "leaver", actor="test")
    time.sleep(shop.served.context.settings.access.cache_seconds + 0.05)
    refused = httpx.post(shop.served.url + CHAT, json=BODY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.fixture(scope="module")
def visitor(shop: Shop) -> Iterator[httpx.Client]:
    """Without a key; one for all, for making one takes longer than what it does."""
    with httpx.Client(base_url=shop.served.url, timeout=60) as client:
        yield client


@pytest.fixture
def token(infer: httpx.Client) -> tuple[str, str]:
    """(response id, feedback token) of a fresh answer."""
    answer = infer.post(CHAT, json={**BODY, "user": "ann"})
    return answer.headers["x-plaudit-response-id"], answer.headers["x-plaudit-feedback-token"]


def vote(visitor: httpx.Client, token: str, nonce: str = "n" * 32, **more: str) -> tuple[int, str | None]:
    event = {"event_id": str(uuid7()), "signal": "like"}
    body = {"token": token, "nonce": nonce, "events": [event], **more}
    answer = visitor.post("/v1/feedback/browser", json=body)
    return answer.status_code, answer.json().get("error", {}).get("code")


def test_a_feedback_token_is_for_its_answer_and_its_browser(visitor: httpx.Client, token: tuple[str, str]) -> None:
    _, good = token
    assert vote(visitor, good) == (202, None)
    assert vote(visitor, good, nonce="m" * 32) == (403, "token_replayed")
    assert vote(visitor, good, response_id="chatcmpl-00000000-0000-7000-8000-000000000000") == (
        403,
        "token_for_another_answer",
    )


def test_a_forged_feedback_token_is_refused(shop: Shop, visitor: httpx.Client, token: tuple[str, str]) -> None:
    response_id, good = token
    context, now = shop.served.context, time.time()
    secret, project = user_secret(context.settings), context.settings.project
    other_character = {place: "A" if good[place] != "A" else "B" for place in range(0, len(good), 7)}
    forged = [good[:place] + made + good[place + 1 :] for place, made in other_character.items()]
    forged += [good[:-1], good + "A", good + "=", "", "a" * 3000]
    forged.append(tokens.issue(b"a guess", project, response_id, None, now, now + 100))
    forged.append(tokens.issue(secret, "another project", response_id, None, now, now + 100))
    for one in forged:
        status, code = vote(visitor, one)
        assert (status, code) in {(401, "token_forged"), (401, "token_missing")}, one[:100]
    expired = tokens.issue(secret, project, response_id, None, now - 100, now - 1)
    assert vote(visitor, expired) == (401, "token_expired")


def test_keys_are_looked_up_by_their_hash_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up by SHA-256 tells who measures its time about hashes, which nobody can choose; never about the key."""
    seen: list[str] = []
    looked_up = KeyRepository.by_hash

    def by_hash(self: KeyRepository, digest: str) -> Any:
        seen.append(digest)
        return looked_up(self, digest)

    monkeypatch.setattr(KeyRepository, "by_hash", by_hash)
    _, secret = create_key(shop.served.context, "fresh", ["infer"], actor="test")
    assert httpx.get(f"{shop.url}/models", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert seen == [hash_of(secret)]


def test_signatures_are_compared_in_constant_time(
    visitor: httpx.Client, token: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bool] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(hmac.compare_digest(one, other))
        return compared[-1]

    monkeypatch.setattr(tokens, "hmac", type("Watched", (), {"compare_digest": compare, "digest": hmac.digest}))
    assert vote(visitor, token[1])[0] == 202
    assert compared == [True]


SENSITIVE = {"secret", "secrets", "signature", "hmac", "password", "token_hash", "nonce", "nonce_hash"}
_MAYBE = rf"\b({'|'.join(SENSITIVE)})\b.*[!=]=|[!=]=.*\b({'|'.join(SENSITIVE)})\b"
_PLAIN_COMPARISONS = {
    "ingest/browser/repository.py": "a nonce's SHA-256 is looked up in the store, as an API key's is",
    "ingest/browser/service.py": "the same",
}


def test_nothing_secret_is_compared_by_an_operator() -> None:
    found: dict[str, list[str]] = {}
    for folder in ("ingest", "serving", "infra/settings", "plaudit"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text()
            for node in ast.walk(ast.parse(text if re.search(_MAYBE, text) else "")):
                if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                    sides = {getattr(side, "id", getattr(side, "attr", "")) for side in [node.left, *node.comparators]}
                    if sides & SENSITIVE:
                        found.setdefault(str(file.relative_to(ROOT)), []).append(ast.unparse(node))
    assert {name: what for name, what in found.items() if name not in _PLAIN_COMPARISONS} == {}
