"""`GET /openapi.json`: the description of the feedback API."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.schemas.openapi import encoded


def schema_routes() -> list[Route]:
    """The route, to be mounted beside those it describes."""

    async def describe(_request: Request) -> Response:
        return Response(encoded(), media_type="application/json", headers={"cache-control": "public, max-age=300"})

    return [Route("/openapi.json", describe, methods=["GET"])]
