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

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from infra.runtime import Context, Health
from infra.runtime.http import operations_routes
from ingest.access.guard import protected
from ingest.doorway import guarded, json_response
from ingest.http import PATH, BeforeRouter, BodyTooLarge, FeedbackEndpoint, read_body
from ingest.service import IngestService
from ingest.wire import InvalidBody


def routes(service: IngestService) -> list[Route]:
    """The routes of the feedback API, to be mounted in any Starlette application."""
    from ingest.doors import door_routes  # they stand on this module

    async def interactions(request: Request) -> Response:
        body = await read_body(request, service.max_body_bytes)
        result = await service.accept_interactions(body)
        return json_response(result, result.status)

    async def label(request: Request) -> Response:
        choice = _choice(request.query_params.get("choice", "0"))
        view = await run_in_threadpool(service.label, request.path_params["response_id"], choice)
        return json_response(view, 200)

    retry_after = service.retry_after_seconds
    return [
        Route(PATH, FeedbackEndpoint(service), methods=["POST"]),
        Route("/v1/interactions", guarded("interactions", interactions, retry_after), methods=["POST"]),
        Route("/v1/labels/{response_id}", guarded("labels", label, retry_after), methods=["GET"]),
        *door_routes(service),
    ]


def build_app(context: Context) -> ASGIApp:
    """The application of `plaudit ingest api`. Ready when the log answers: events are taken while the store is down."""
    health = Health()
    health.add("event_log", context.event_log.healthy)
    service = IngestService(context)
    app = Starlette(routes=[*routes(service), *operations_routes(health)])
    return protected(BeforeRouter(FeedbackEndpoint(service), app), context)


def _choice(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise InvalidBody(
            f"choice is {text[:40]!r}; give the index of the answer, 0, 1, ...", code="invalid_choice", field="choice"
        )
    return int(text)


__all__ = ["BodyTooLarge", "build_app", "read_body", "routes"]
