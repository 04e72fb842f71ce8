"""The OpenAPI 3.1 document of the gateway, with the feedback API where it stands beside it."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ingest.schemas.openapi import described as described_operation
from ingest.schemas.openapi import document as feedback_document
from ingest.schemas.operations import JSON, Operation
from serving.schemas import COMPONENTS, Schema, ref

Described = frozenset[tuple[str, str]]
"""(method in lower case, path) of routes."""

EVENTS = "text/event-stream"
_ERROR = ref("ApiError")
_WHY = {
    400: "The request cannot be answered as it stands; `param` names what is wrong.",
    401: "API keys are required and this is none.",
    403: "The key has not the scope; or an arm was forced without the scope admin.",
    404: "No such model is served here.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The Content-Encoding is unknown; gzip is known.",
    429: "Too much at once, of this key, of this person, or of all. Ask again after Retry-After seconds.",
    503: "Not ready, shutting down, or the log takes nothing now. Ask again after Retry-After seconds.",
    504: "No answer in time.",
}
_TEXT: Schema = {"type": "string"}
_HEADERS: dict[str, tuple[str, Schema]] = {
    "x-plaudit-response-id": ("The id that feedback names; the same as the body's `id`.", _TEXT),
    "x-request-id": ("The same.", _TEXT),
    "x-plaudit-adapter": ("What answers: `name@version` or `base`; not of duels.", _TEXT),
    "x-plaudit-feedback-token": ("With this a page may give feedback on the answer, without an API key.", _TEXT),
    "x-plaudit-solicited": (
        "Ask the person for a vote; the value goes into `solicited` of the event `shown`.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    ),
    "x-plaudit-duel": ("The ids of the two answers to be shown side by side.", _TEXT),
    "x-plaudit-experiment": ("Only of an answer that a tester forced.", _TEXT),
    "x-plaudit-arm": ("Only of an answer that a tester forced.", _TEXT),
    "x-plaudit-logged": ("`false`: the answer was not logged; feedback on it will find nothing.", {"const": "false"}),
}
_STREAM = (
    "With `stream: true`: server-sent events, each `data: ` and one chunk, then `data: [DONE]`. What fails after the "
    "first byte comes as a last event that holds an ApiError, without `[DONE]`."
)
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_ASKED: tuple[Schema, ...] = (
    {
        "name": "x-plaudit-duels",
        "in": "header",
        "description": "`1`: this client can show two answers side by side.",
        "schema": {"type": "string"},
    },
)


def _refusals(*statuses: int) -> dict[int, tuple[str, Schema | None]]:
    return {status: (_WHY[status], _ERROR) for status in statuses}


_KEY = (401, 403, 429, 503)
_ASKING = _refusals(400, 401, 403, 404, 408, 413, 415, 429, 503, 504)
_MODEL_NAME: Schema = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}

OPERATIONS = (
    Operation(
        "post",
        "/v1/chat/completions",
        "createChatCompletion",
        "An answer to a conversation",
        {200: ("The answer; its interaction is durable.", ref("ChatCompletion")), **_ASKING},
        {JSON: ref("ChatCompletionRequest")},
        _ASKED,
        tag="answers",
    ),
    Operation(
        "post",
        "/v1/completions",
        "createCompletion",
        "The continuation of a prompt as it stands",
        {200: ("The continuation; its interaction is durable.", ref("Completion")), **_ASKING},
        {JSON: ref("CompletionRequest")},
        tag="answers",
    ),
    Operation(
        "get",
        "/v1/models",
        "listModels",
        "`plaudit`, `base`, and every adapter proven here",
        {200: ("The list.", ref("ModelList")), **_refusals(*_KEY)},
        tag="answers",
    ),
    Operation(
        "get",
        "/v1/models/{model}",
        "readModel",
        "One of them",
        {200: ("It is served here.", ref("Model")), **_refusals(404, *_KEY)},
        parameters=(_MODEL_NAME,),
        tag="answers",
    ),
)
_CHUNKS = {"createChatCompletion": "ChatCompletionChunk", "createCompletion": "Completion"}


def document(described: Collection[tuple[str, str]] | None = None) -> dict[str, Any]:
    """The document of the operations in `described`, without it of all: gateway and feedback API."""
    made = feedback_document()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = described_operation(operation, _answer)
    paths |= made["paths"]
    if described is not None:
        paths = {
            path: kept
            for path, methods in paths.items()
            if (kept := {method: one for method, one in methods.items() if (method, path) in described})
        }
    schemas = dict(sorted({**made["components"]["schemas"], **COMPONENTS}.items()))
    return {
        "openapi": made["openapi"],
        "info": {
            "title": "Plaudit",
            "version": "1",
            "description": "Answers in OpenAI's shapes, and reactions of people to them. API keys are asked for where "
            "`access.require_keys` is set.",
        },
        "paths": paths,
        "components": {**made["components"], "schemas": schemas},
    }


@lru_cache(maxsize=4)
def encoded(described: Described | None = None) -> bytes:
    """`document` as it is served; without `described` as `docs/openapi-gateway.json` holds it."""
    return msgspec.json.format(msgspec.json.encode(document(described)), indent=1) + b"\n"


def described_by(routes: Collection[BaseRoute]) -> Described:
    """What these routes answer; pages for people are left out (`include_in_schema`)."""
    return frozenset(
        (method.lower(), route.path)
        for route in routes
        if isinstance(route, Route) and route.include_in_schema
        for method in route.methods or ()
        if method != "HEAD"
    )


def schema_routes() -> list[Route]:
    """`GET /openapi.json`: describes whatever stands in the application that it stands in."""

    async def describe(request: Request) -> Response:
        body = encoded(described_by(request.app.routes))
        return Response(body, media_type=JSON, headers={"cache-control": "public, max-age=300"})

    return [Route("/openapi.json", describe, methods=["GET"])]


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    meaning, schema = operation.answers[status]
    made: dict[str, Any] = {"description": meaning, "content": {JSON: {"schema": schema}}}
    chunk = _CHUNKS.get(operation.name)
    if status == 200 and chunk is not None:
        events = {"type": "string", "description": _STREAM, "contentMediaType": JSON, "contentSchema": ref(chunk)}
        made["content"][EVENTS] = {"schema": events}
        made["headers"] = {name: {"description": why, "schema": kind} for name, (why, kind) in _HEADERS.items()}
    if status in (429, 503):
        made["headers"] = _RETRY_AFTER
    return made
