"""The browser's routes.

| request | answer |
|---|---|
| `GET /v1/feedback.js` | the script, to be cached; 304 when it is known |
| `POST /v1/feedback/browser` | events with a token, from the script; 202, or 200 when all of them were durable before |
| `POST /v1/feedback/tokens` | a token for an answer produced elsewhere; for back ends, with their API key |

The token stands in the body or in `Authorization: Bearer`, never in the address, which ends up in logs. Which origins
may read the answers is settled for all routes alike, by `access.cors_origins`; beacons need no leave, since nobody
reads what comes back.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.browser.script import script
from ingest.browser.service import BrowserDoor
from ingest.browser.wire import read_token_request
from ingest.doorway import guarded, json_response
from ingest.http import read_body
from ingest.service import IngestService


def browser_routes(service: IngestService) -> list[Route]:
    """The routes, to be mounted beside `POST /v1/feedback`."""
    settings = service.context.settings.ingest.browser
    door = BrowserDoor(service)
    headers = {
        "cache-control": f"public, max-age={settings.script_max_age_seconds}",
        "etag": script()[1],
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }

    async def send_script(request: Request) -> Response:
        if script()[1] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(script()[0], 200, headers, media_type="text/javascript")

    async def feedback(request: Request) -> Response:
        body = await read_body(request, settings.max_body_bytes)
        result = await door.accept(body, token_of(request))
        return json_response(result, result.status)

    async def tokens(request: Request) -> Response:
        body = await read_body(request, settings.max_body_bytes)
        return json_response(door.issue(read_token_request(body)), 201, {"cache-control": "no-store"})

    retry_after = service.retry_after_seconds
    return [
        Route("/v1/feedback.js", send_script, methods=["GET"]),
        Route("/v1/feedback/browser", guarded("browser", feedback, retry_after), methods=["POST"]),
        Route("/v1/feedback/tokens", guarded("tokens", tokens, retry_after), methods=["POST"]),
    ]


def token_of(request: Request) -> str | None:
    """The token that stands beside the body, if there is one."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None
