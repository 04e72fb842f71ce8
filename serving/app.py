"""The gateway as an application, alone or as a part of `plaudit up`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.contracts import PlauditError
from infra.models.loading import LoadedModel
from infra.runtime import Context, Health
from infra.runtime.http import operations_routes
from infra.settings import Settings
from ingest.access.guard import protected
from serving import responses
from serving.api import Doors, doors, routes
from serving.console.app import console_routes
from serving.engines import make_engine
from serving.openapi import schema_routes
from serving.service import EngineMaker, Gateway
from serving.telemetry import observe_routing


class GatewayApplication(Starlette):
    """A Starlette application whose hot doors stand before its router, and its access rules before both."""

    def __init__(self, context: Context, hot: Doors, *, routes: Sequence[BaseRoute], lifespan: object) -> None:
        self._context = context
        self._hot = hot
        handlers = {HTTPException: _http_error}
        super().__init__(routes=routes, lifespan=lifespan, exception_handlers=handlers)  # type: ignore[arg-type]

    def build_middleware_stack(self) -> ASGIApp:
        """What answers a request: access rules, then a hot door or everything else."""
        return protected(_Doorkeeper(self._hot, super().build_middleware_stack()), self._context)


class _Doorkeeper:
    """Sends POST requests of the hot paths to their doors, and everything else on."""

    def __init__(self, hot: Doors, rest: ASGIApp) -> None:
        self._hot = hot
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            door = self._hot.get(scope["path"])
            if door is not None:
                await door(scope, receive, send)
                return
        await self._rest(scope, receive, send)


def build_gateway(
    context: Context,
    health: Health | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    loaded: LoadedModel | None = None,
    before_scrape: Sequence[Callable[[], None]] = (),
    engine_of: EngineMaker = make_engine,
) -> Starlette:
    """The gateway with `/livez`, `/healthz`, `/readyz` and `/metrics`; `extra_routes` are mounted beside it,
    `before_scrape` are called before each answer of `/metrics`.

    Its lifespan loads the base model (unless `loaded` is given) and proves adapters in the background. Ready when the
    champion is proven here and the event log answers. The gateway itself is `app.state.gateway`.
    """
    gateway = Gateway(context, engine_of)
    health = health or Health()
    health.add("adapter", gateway.problem)
    health.add("event_log", context.event_log.healthy)

    hot = doors(gateway)

    def routing() -> None:
        observe_routing(gateway.state, context.clock.now())

    app = GatewayApplication(
        context,
        hot,
        routes=[
            *schema_routes(),
            *routes(gateway, hot),
            *extra_routes,
            *console_routes(context),
            *operations_routes(health, [routing, *before_scrape]),
        ],
        lifespan=_lifespan(gateway, loaded),
    )
    app.state.gateway = gateway
    return app


def _lifespan(gateway: Gateway, loaded: LoadedModel | None) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Loads as the application starts; answers what runs, then closes, as it ends."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        gateway.start(loaded)
        try:
            yield
        finally:
            await gateway.drained()
            await run_in_threadpool(gateway.close)

    return lifespan


async def _http_error(request: Request, error: Exception) -> Response:
    """404 and 405 in the shape that the clients of `/v1` read."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    problem = PlauditError(
        f"{error.detail}: {request.method} {request.url.path[:100]}", code=code, status=error.status_code
    )
    body = responses.encode(responses.error(problem))
    return Response(body, error.status_code, error.headers, media_type="application/json")


def threads_work_in(settings: Settings) -> bool:
    """Whether threads of the gateway's process write the log, or keep the spool, all the time."""
    return not (settings.event_log.spool_process and settings.event_log.spool_limit_bytes)


def serve(settings: Settings, before_scrape: Callable[[Context], Sequence[Callable[[], None]]] = lambda _: ()) -> None:
    """Run the gateway on `serving.host:serving.port` until SIGTERM or SIGINT; answers in progress are finished."""
    from infra.runtime import configure_logging, open_context
    from serving.draining import run_until_signal

    configure_logging(settings, process="serve")
    context = open_context(settings)
    health = Health()
    try:
        app = build_gateway(context, health, before_scrape=before_scrape(context))
        run_until_signal(app, settings.serving, health, threads_work=threads_work_in(settings))
    finally:
        context.close()
