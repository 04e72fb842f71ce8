"""The server of `plaudit serve`, and how it ends: `/readyz` says no, then nothing new is taken, then what runs ends."""

import signal
import threading
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from infra.runtime import Health
from infra.settings.serving import ServingSettings
from serving.connections import Http11Protocol, SweepingServer
from serving.process import ease_process

log = structlog.get_logger()

BACKLOG = 2048


class DrainingServer(SweepingServer):
    """Takes requests for `drain_seconds` more after SIGTERM, while `/readyz` says no; a second signal ends that at
    once, and a third cuts off what runs. SIGINT, a person's Ctrl-C, begins with the second."""

    def __init__(self, config: uvicorn.Config, health: Health, settings: ServingSettings) -> None:
        super().__init__(config, settings.head_timeout_seconds)
        self._health = health
        self._drain_seconds = settings.drain_seconds
        self._draining: threading.Timer | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See the class; called by the signal's handler."""
        self._health.drain()
        if sig == signal.SIGTERM and self._draining is None and self._drain_seconds > 0:
            log.info("gateway_draining", seconds=self._drain_seconds)
            self._draining = threading.Timer(self._drain_seconds, self._end, (sig, frame))
            self._draining.daemon = True
            self._draining.start()
            return
        self._end(sig, frame)

    def _end(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # uvicorn would raise them again at the end: exit by a signal, nothing closed


def run_until_signal(app: ASGIApp, settings: ServingSettings, health: Health, *, threads_work: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. `threads_work`: as `ease_process` has it."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Http11Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=int(settings.drain_grace_seconds),
    )
    ease_process(threads_work=threads_work)
    DrainingServer(config, health, settings).run()
