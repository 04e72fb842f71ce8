"""The gateway as an application, alone or as a part of `plaudit up`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from infra.models.loading import LoadedModel
from infra.runtime import Context, Health
from infra.runtime.http import operations_routes
from infra.settings import Settings
from ingest.access.guard import access_middleware
from serving.api import routes
from serving.console.app import console_routes
from serving.service import Gateway


def build_gateway(
    context: Context,
    health: Health | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    loaded: LoadedModel | None = None,
    before_scrape: Sequence[Callable[[], None]] = (),
) -> Starlette:
    """The gateway with `/healthz`, `/readyz` and `/metrics`; `extra_routes` are mounted beside it,
    `before_scrape` are called before each answer of `/metrics`.

    Its lifespan loads the base model (unless `loaded` is given) and proves adapters in the background. Ready when the
    champion is proven here and the event log answers. The gateway itself is `app.state.gateway`.
    """
    gateway = Gateway(context)
    health = health or Health()
    health.add("adapter", gateway.problem)
    health.add("event_log", context.event_log.healthy)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        gateway.start(loaded)
        try:
            yield
        finally:
            await gateway.drained()
            await run_in_threadpool(gateway.close)

    app = Starlette(
        routes=[
            *routes(gateway),
            *extra_routes,
            *console_routes(context),
            *operations_routes(health, before_scrape),
        ],
        middleware=access_middleware(context),
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app


def serve(settings: Settings) -> None:
    """Run the gateway on `serving.host:serving.port` until SIGTERM or SIGINT; answers in progress are finished."""
    import uvicorn

    from infra.runtime import configure_logging, open_context

    configure_logging(settings, process="serve")
    context = open_context(settings)
    try:
        config = uvicorn.Config(
            build_gateway(context),
            host=settings.serving.host,
            port=settings.serving.port,
            log_config=None,
            timeout_graceful_shutdown=25,
        )
        uvicorn.Server(config).run()
    finally:
        context.close()
