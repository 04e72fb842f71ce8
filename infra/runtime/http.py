"""The routes every service has: `/livez`, `/healthz` (alive), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Callable, Sequence

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.metrics import CONTENT_TYPE, exposition
from infra.runtime.health import Health

log = structlog.get_logger()


def operations_routes(health: Health, before_scrape: Sequence[Callable[[], None]] = ()) -> list[Route]:
    """Routes to mount in a service. `before_scrape` bring gauges up to date that are read from the store.

    The endpoints are plain functions: Starlette runs them in a thread, so a slow check never stalls the event loop.
    """

    def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    def readyz(_request: Request) -> Response:
        readiness = health.readiness()
        status = "ready" if readiness.ready else "not ready"
        return JSONResponse({"status": status, "checks": readiness.checks}, 200 if readiness.ready else 503)

    def metrics(_request: Request) -> Response:
        health.readiness()  # as gauges: where nobody asks for `/readyz` they would stand still
        for refresh in before_scrape:
            try:
                refresh()
            except Exception as error:  # a scrape must show what it can, most of all when the store is down
                log.warning("metrics_refresh_failed", error=str(error), error_type=type(error).__name__)
        return Response(exposition(), media_type=CONTENT_TYPE)

    return [
        Route("/livez", healthz),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]
