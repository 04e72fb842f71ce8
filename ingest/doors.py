"""Every way in beside `POST /v1/feedback`: browsers, other products' shapes, and the document that describes them."""

from starlette.routing import Route

from ingest.browser.api import browser_routes
from ingest.compat.api import compat_routes
from ingest.schemas.api import schema_routes
from ingest.service import IngestService


def door_routes(service: IngestService) -> list[Route]:
    """Routes to be mounted with those of `ingest.api`."""
    return [*browser_routes(service), *compat_routes(service), *schema_routes()]
