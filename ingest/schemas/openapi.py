"""The OpenAPI 3.1 document of the feedback API."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from ingest.schemas.components import components
from ingest.schemas.operations import JSON, OPERATIONS, Operation


def document() -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = described(operation, _answer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Plaudit feedback API",
            "version": "1",
            "description": "Reactions of people to answers: taken once, kept, and turned into labels. "
            "API keys are asked for where `access.require_keys` is set.",
        },
        "paths": paths,
        "components": {"schemas": components(), "securitySchemes": _SCHEMES},
    }


@lru_cache(maxsize=1)
def encoded() -> bytes:
    """The document as `docs/openapi.json` holds it."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


_SCHEMES = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key of this deployment."},
    "langfuseKeys": {"type": "http", "scheme": "basic", "description": "The API key as the secret key."},
    "feedbackToken": {"type": "http", "scheme": "bearer", "description": "The token of one answer."},
}


def described(operation: Operation, answer: Callable[[Operation, int], dict[str, Any]]) -> dict[str, Any]:
    """One operation as OpenAPI has it; `answer` describes what it answers with a status."""
    made: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": {str(status): answer(operation, status) for status in sorted(operation.answers)},
        "security": [{name: []} for name in operation.security] + [{}],
    }
    if operation.parameters:
        made["parameters"] = list(operation.parameters)
    if operation.body is not None:
        content = {media: {"schema": schema} for media, schema in operation.body.items()}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    meaning, schema = operation.answers[status]
    made: dict[str, Any] = {"description": meaning}
    if schema is not None:
        media = operation.media if status == 200 else JSON
        made["content"] = {media: {"schema": schema}}
    if status in (429, 503) and operation.tag != "operations":
        made["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return made
