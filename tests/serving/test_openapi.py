"""The gateway's document says what the gateway does: same routes, statuses, headers and bodies."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from infra.contracts import PlauditError
from infra.runtime import Context
from infra.settings.access import AccessSettings
from infra.settings.infrastructure import ModelSettings
from infra.settings.serving import ServingSettings
from ingest.api import routes
from ingest.service import IngestService
from serving.app import build_gateway
from serving.openapi import described_by, document, encoded
from serving.schemas import COMPONENTS
from serving.service import Gateway
from tests.serving.shop import Shop, raw

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi-gateway.json"
REMEDY = "run: plaudit openapi > docs/openapi-gateway.json"
CHAT, COMPLETIONS, MODELS, MODEL = "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 4},
    COMPLETIONS: {"prompt": "Once upon", "max_tokens": 4},
}


@pytest.fixture(scope="module")
def shop_sections() -> dict[str, Any]:
    return {"access": AccessSettings(require_keys=True, user_requests_per_minute=0.01, user_request_burst=1)}


def described(made: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, methods in made["paths"].items() for method in methods}


def test_the_committed_copy_is_true() -> None:
    assert COMMITTED.read_bytes() == encoded(), REMEDY


@pytest.mark.parametrize("whole", [True, False], ids=["with the feedback API", "alone"])
def test_every_route_is_described_and_every_description_has_its_route(context: Context, whole: bool) -> None:
    app = build_gateway(context, extra_routes=routes(IngestService(context)) if whole else ())
    real = described_by(app.routes)
    assert described(document(real)) == real
    if whole:
        assert described(document()) == real


def test_it_is_served_without_a_key(shop: Shop) -> None:
    answer = httpx.get(f"{shop.served.url}/openapi.json")
    assert (answer.status_code, answer.content) == (200, encoded())


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    names = document()["components"]["schemas"].keys()
    assert set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document()))) <= names
    for name in COMPONENTS:
        jsonschema_rs.meta.validate(standing(name))


def standing(name: str) -> dict[str, Any]:
    """One schema that stands alone."""
    return {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}


CHECKED = {name: jsonschema_rs.validator_for(standing(name)) for name in COMPONENTS}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("told", [False, True], ids=["short", "with everything"])
def test_answers_and_chunks_are_what_it_says(infer: httpx.Client, path: str, told: bool) -> None:
    more: dict[str, Any] = {"n": 2, "stop": ["zz"], "logprobs": True if path == CHAT else 0} if told else {}
    plain = infer.post(path, json={**BODIES[path], **more})
    CHECKED["ChatCompletion" if path == CHAT else "Completion"].validate(plain.json())
    assert plain.json()["choices"][0]["finish_reason"] is not None
    options = {"stream": True, "stream_options": {"include_usage": told}}
    streamed = infer.post(path, json={**BODIES[path], **more, **options})
    *events, last = [event.removeprefix("data: ") for event in streamed.text.split("\n\n") if event]
    assert last == "[DONE]"
    for event in events:
        CHECKED["ChatCompletionChunk" if path == CHAT else "Completion"].validate(json.loads(event))
    assert (json.loads(events[-1])["choices"] == []) == told


def test_headers_are_what_it_says(infer: httpx.Client) -> None:
    known = document()["paths"][CHAT]["post"]["responses"]["200"]["headers"]
    answer = infer.post(CHAT, json={**BODIES[CHAT], "model": "base"})
    found = {name for name in answer.headers if name.startswith("x-")}
    assert found <= known.keys()
    always = {"x-plaudit-response-id", "x-request-id", "x-plaudit-adapter", "x-plaudit-feedback-token"}
    assert found >= always


Seen = set[tuple[str, str, int]]


class Asker:
    """Remembers what it was answered, and holds every refusal against its schema."""

    def __init__(self, client: httpx.Client, seen: Seen) -> None:
        self._client, self.seen = client, seen

    def ask(self, method: str, path: str, **more: Any) -> None:
        answer = self._client.request(method, path.replace("{model}", more.pop("model", "base")), **more)
        self.seen.add((method.lower(), path, answer.status_code))
        if answer.status_code >= 400:
            CHECKED["ApiError"].validate(answer.json())
        if answer.status_code in (429, 503):
            assert int(answer.headers["retry-after"]) >= 1

    def post(self, path: str, more: dict[str, Any] | None = None, **how: Any) -> None:
        self.ask("POST", path, **({"json": {**BODIES[path], **(more or {})}} | how))


def everything(asker: Asker, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (CHAT, COMPLETIONS):
        asker.post(path)
        asker.post(path, {"n": 0})
        asker.post(path, headers={"Authorization": "Bearer plk-none"})
        asker.post(path, headers=shop.headers("feedback"))
        asker.post(path, {"model": "kind@7"})
        asker.post(path, json=None, content=b" " * (2 << 20))
        asker.post(path, json=None, content=b"{}", headers={**shop.headers(), "Content-Encoding": "br"})
        for _ in range(2):
            asker.post(path, {"user": path})
        with monkeypatch.context() as patch:
            patch.setattr(Gateway, "begin", _away)
            asker.post(path)
    for path in (MODELS, MODEL):
        asker.ask("GET", path)
        asker.ask("GET", path, headers={"Authorization": "Bearer plk-none"})
        asker.ask("GET", path, headers=shop.headers("feedback"))
    asker.ask("GET", MODEL, model="kind@7")


def too_late(asker: Asker, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that has no patience, for answers that take long and for a body whose rest never comes."""
    gateway = shop.served.app.state.gateway
    key = f"Authorization: Bearer {shop.keys['infer']}"
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "settings", gateway.settings.model_copy(update={"request_timeout_seconds": 0.15}))
        for path in (CHAT, COMPLETIONS):
            asker.post(path, {"n": 8, "max_tokens": 400, "temperature": 2, "model": "base"})
            half = f"POST {path} HTTP/1.1\r\nHost: h\r\n{key}\r\nContent-Length: 9\r\n\r\n{{"
            asker.seen.add(("post", path, raw(shop.served, half)[0]))


async def _away(*_given: Any) -> Any:
    raise PlauditError("not now", code="not_ready", status=503)


def at_the_door(asker: Asker, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away when a key nobody has seen yet comes, and a key that comes too often."""
    from infra.db import Database, StoreUnavailable
    from ingest.access.limits import RateLimiter

    def away(*_given: Any) -> Any:
        raise StoreUnavailable("the store is down")

    def often(*_given: Any) -> Any:
        from ingest.access.limits import RateLimited

        raise RateLimited("too often", 1.5)

    for path in (MODELS, MODEL):
        with monkeypatch.context() as patch:
            patch.setattr(Database, "reading", away)
            asker.ask("GET", path, headers={"Authorization": f"Bearer plk-{path}"})
        with monkeypatch.context() as patch:
            patch.setattr(RateLimiter, "require", often)
            asker.ask("GET", path)


def test_it_names_exactly_the_statuses_there_are(
    shop: Shop, infer: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Seen = set()
    asker = Asker(infer, seen)
    everything(asker, shop, monkeypatch)
    too_late(asker, shop, monkeypatch)
    at_the_door(asker, shop, monkeypatch)
    named = {
        (method, path, int(status))
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
        if "answers" in operation["tags"]
    }
    assert sorted(seen - named) == []
    assert sorted(named - seen) == []


def test_limits_of_the_document_are_those_of_the_settings() -> None:
    request = COMPONENTS["ChatCompletionRequest"]["properties"]
    assert request["n"]["anyOf"][0]["maximum"] == ServingSettings().max_choices
    assert ModelSettings().base  # the document names no model of a deployment
