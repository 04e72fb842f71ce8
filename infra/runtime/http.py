"""The routes every service has: `/livez`, `/healthz` (alive), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Callable, Sequence

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.metrics import CONTENT_TYPE, exposition
from infra.runtime.health import Check, Health

log = structlog.get_logger()


def operations_routes(
    health: Health, before_scrape: Sequence[Callable[[], None]] = (), alive: Check | None = None
) -> list[Route]:
    """Routes to mount in a service. `before_scrape` bring gauges up to date that are read from the store; `alive` says
    what only a restart mends, and asks nobody else: without it a process that answers is alive.

    The endpoints are plain functions: Starlette runs them in a thread, so a slow check never stalls the event loop.
    """

    def healthz(_request: Request) -> Response:
        if alive is not None and (wrong := alive()) is not None:
            return JSONResponse({"status": "not alive", "reason": wrong}, 503)
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
