"""What the doors beside `POST /v1/feedback` share: answers in JSON, and expected failures as answers with a reason."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics

Endpoint = Callable[[Request], Awaitable[Response]]
Describe = Callable[[PlauditError], Any]
"""An error as the document that the callers of a door know."""


def error_document(error: PlauditError) -> dict[str, Any]:
    """Plaudit's own shape of an error."""
    return {"error": {"code": error.code, "message": error.message, "field": error.field}}


def json_response(document: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """A document as an answer."""
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")


def guarded(kind: str, endpoint: Endpoint, retry_after_seconds: int, describe: Describe = error_document) -> Endpoint:
    """Turn expected failures of `endpoint` into answers; 429 and 503 say when to come again."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is there to read it
        except PlauditError as error:
            metrics.INGEST_REQUESTS_REFUSED.labels(kind, error.code).inc()
            headers = {"Retry-After": str(retry_after_seconds)} if error.status in (429, 503) else None
            return json_response(describe(error), error.status, headers)

    return answer
