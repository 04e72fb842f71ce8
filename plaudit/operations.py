"""`/livez`, `/readyz` and `/metrics` of processes that serve nothing else: consumers and the scheduler."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import structlog
from starlette.applications import Starlette

from infra.runtime.health import Check, Health
from infra.runtime.http import operations_routes
from plaudit.up_gateway import GatewayThread, bind, url_of

log = structlog.get_logger()


@contextlib.contextmanager
def operations(
    health: Health, host: str, port: int, alive: Check, before_scrape: Sequence[Callable[[], None]] = ()
) -> Iterator[None]:
    """Answer on `host:port` while the block runs; port 0: nowhere. Raises CannotListen."""
    if not port:
        yield
        return
    with bind(host, port) as listener:
        server = GatewayThread(Starlette(routes=operations_routes(health, before_scrape, alive)), listener)
        server.start()
        log.info("operations_served", url=url_of(listener))
        try:
            yield
        finally:
            health.drain()
            server.stop()
