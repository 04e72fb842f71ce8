"""The HTTP side of `plaudit up`: a port taken before anything heavy is loaded, and uvicorn in a thread of its own."""

import errno
import socket
import threading

import structlog
import uvicorn
from starlette.types import ASGIApp

from infra.contracts import PlauditError
from serving.connections import Http11Protocol, SweepingServer

log = structlog.get_logger()

GRACEFUL_SECONDS = 12
"""How long requests in flight may take to finish after the stop; then they are cut off."""
STARTED_WITHIN_SECONDS = 30.0
BACKLOG = 2048
"""Connections that may wait to be accepted."""


class CannotListen(PlauditError):
    """The address cannot be listened on."""

    code = "cannot_listen"


class GatewayEnded(PlauditError):
    """The HTTP server ended by itself."""

    code = "gateway_ended"


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to `host:port` (port 0: any free one), not yet listening: clients are refused until it does.

    Raises CannotListen, naming what to do, so that a mistake shows before a model is loaded.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotListen(
            f"serving.host = {host!r} is no address of this machine: {error}", field="serving.host"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CannotListen(_why(error, host, port), field="serving.port") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use: end the program that has it (another `plaudit up`?), "
            "or choose another with --port or serving.port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} of {host} is not allowed to this user: choose one above 1023 with --port or serving.port"
    return f"{host}:{port} cannot be listened on: {error.strerror}; see serving.host and serving.port"


class GatewayThread:
    """uvicorn in a thread, so that the main thread stays free for signals and the order of the shutdown."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        head_timeout_seconds: float = 20.0,
        keep_alive_seconds: int = 75,
    ) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=Http11Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        self._server = SweepingServer(config, head_timeout_seconds)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def start(self) -> None:
        """Listen. Returns when connections are taken. Raises GatewayEnded, CannotListen."""
        try:
            self._listener.listen(BACKLOG)  # by hand: uvloop would keep a failure to itself
        except OSError as error:
            raise CannotListen(_why(error, *self._listener.getsockname()[:2]), field="serving.port") from None
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(STARTED_WITHIN_SECONDS / 0.02)):
            if self._server.started:
                return
            self.check()
            waited.wait(0.02)
        raise GatewayEnded(f"the HTTP server did not start within {STARTED_WITHIN_SECONDS:.0f} s; see the log")

    def check(self) -> None:
        """Raises GatewayEnded when the server has ended without being asked to."""
        if self._thread.is_alive():
            return
        raise GatewayEnded(f"the HTTP server ended by itself: {self._failure or 'no reason given'}; see the log")

    def stop(self) -> None:
        """Take no more connections, finish the requests in flight, end. Returns when it has ended."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except BaseException as error:  # a thread's exception would be lost; the main thread asks for it
            self._failure = error
            log.error("gateway_failed", error=str(error), error_type=type(error).__name__)
