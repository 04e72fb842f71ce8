"""The feedback API over HTTP.

| request | answer |
|---|---|
| `POST /v1/feedback` | one event, an array, or `{"events": [...]}`; 202 when every valid event is durable |
| `POST /v1/interactions` | the same for answers produced elsewhere (`{"interactions": [...]}`) |
| `GET /v1/labels/{response_id}?choice=0` | the current label, or 404 |

A batch answers 202 when anything was accepted, with one result an item in the order of the request, and 422 when every
item was refused. A refused item never harms the others. 400: the body is no JSON. 413: body or batch too large. 415:
unknown Content-Encoding (gzip is known). 429 and 503 carry Retry-After: nothing was accepted for certain, send the
same again, ids make it count once.
"""

import zlib
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics
from infra.runtime import Context, Health
from infra.runtime.http import operations_routes
from ingest.service import IngestService
from ingest.wire import InvalidBody

Endpoint = Callable[[Request], Awaitable[Response]]


class BodyTooLarge(PlauditError):
    """The body has more bytes than `ingest.max_body_bytes`."""

    code = "body_too_large"
    status = 413


def routes(service: IngestService) -> list[Route]:
    """The routes of the feedback API, to be mounted in any Starlette application."""
    from ingest.doors import door_routes  # they stand on this module

    async def feedback(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        result = await service.accept_feedback(body)
        return _json(result, result.status)

    async def interactions(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        result = await service.accept_interactions(body)
        return _json(result, result.status)

    async def label(request: Request) -> Response:
        choice = _choice(request.query_params.get("choice", "0"))
        view = await run_in_threadpool(service.label, request.path_params["response_id"], choice)
        return _json(view, 200)

    retry_after = service.retry_after_seconds
    return [
        Route("/v1/feedback", _guarded("feedback", feedback, retry_after), methods=["POST"]),
        Route("/v1/interactions", _guarded("interactions", interactions, retry_after), methods=["POST"]),
        Route("/v1/labels/{response_id}", _guarded("labels", label, retry_after), methods=["GET"]),
        *door_routes(service),
    ]


def build_app(context: Context) -> Starlette:
    """The application of `plaudit ingest api`. Ready when the log answers: events are taken while the store is down."""
    health = Health()
    health.add("event_log", context.event_log.healthy)
    return Starlette(routes=[*routes(IngestService(context)), *operations_routes(health)])


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, decompressed, at most `max_bytes` of it. Raises BodyTooLarge, InvalidBody."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise InvalidBody(
            f"Content-Encoding {encoding[:40]!r} is unknown; send gzip or none",
            code="unsupported_encoding",
            status=415,
            field="Content-Encoding",
        )
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    body = b"".join(chunks)
    return _gunzip(body, max_bytes) if encoding == "gzip" else body


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, max_bytes + 1)  # never more in memory, whatever a small body claims
    except zlib.error as error:
        raise InvalidBody(f"the body is no gzip ({error}), as Content-Encoding says it is") from None
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not inflater.eof:
        raise InvalidBody("the gzip body ends too early; send it whole")
    return plain


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {max_bytes} bytes after decompression; send smaller batches")


def _choice(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise InvalidBody(
            f"choice is {text[:40]!r}; give the index of the answer, 0, 1, ...", code="invalid_choice", field="choice"
        )
    return int(text)


def _guarded(kind: str, endpoint: Endpoint, retry_after_seconds: int) -> Endpoint:
    """Turn expected failures into answers with code, message and field, whichever application the routes stand in."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is there to read it
        except PlauditError as error:
            metrics.INGEST_REQUESTS_REFUSED.labels(kind, error.code).inc()
            document = {"error": {"code": error.code, "message": error.message, "field": error.field}}
            response = _json(document, error.status)
            if error.status in (429, 503):
                response.headers["Retry-After"] = str(retry_after_seconds)
            return response

    return guarded


def _json(document: object, status: int) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
