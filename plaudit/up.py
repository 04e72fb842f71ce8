"""`plaudit up`: the whole system on one machine. Gateway, feedback API, consumer and light jobs live in this process;
training runs in child processes, so that it can neither slow the answers nor take them down.

Start: port, log, store, consumer, model, gateway, jobs. End: the same way back, within a deadline.
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import structlog
from rich.console import Console
from rich.markup import escape
from starlette.applications import Starlette

from ab_testing.service import bootstrap_state
from infra.contracts import PlauditError
from infra.runtime import Context, Health, Job, Shutdown, configure_logging, open_context
from infra.runtime.scheduler import Scheduler
from infra.settings import Settings, console_password
from infra.settings.identity import CONSOLE_PASSWORD_FILE
from ingest.api import routes
from ingest.consumer import FeedbackConsumer
from ingest.service import IngestService
from plaudit.jobs import all_jobs
from plaudit.monitoring.gauges import store_gauges
from plaudit.up_gateway import GatewayThread, bind, url_of
from serving.app import build_gateway
from serving.process import ease_process

log = structlog.get_logger()

LOG_LIMIT_BYTES = 64 * 1024 * 1024
WATCH_SECONDS = 0.5
POLL_SECONDS = 0.1
READY_WITHIN_SECONDS = 300.0

Waiting = Callable[[str], None]


class NotReady(PlauditError):
    """The system did not become ready."""

    code = "not_ready"


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; a second signal ends at once.

    Raises CannotListen, GatewayEnded, NotReady and what the parts raise. Exits 1 when the end was not clean; even then
    nothing acknowledged is lost.
    """
    with bind(settings.serving.host, settings.serving.port) as listener, _log_stream(settings) as stream:
        configure_logging(settings, process="up", stream=stream)
        shutdown, console = Shutdown(), Console(highlight=False, soft_wrap=True)
        shutdown.install()
        try:
            with console.status("starting") as status:
                gateway = start(settings, listener, shutdown, lambda what: status.update(f"starting: {escape(what)}"))
            if gateway is not None:
                _say_ready(console, settings, listener)
                while not shutdown.wait(WATCH_SECONDS):
                    gateway.check()
        except BaseException:
            shutdown.close()
            raise
        with console.status("ending: requests in flight, consumer, log"):
            clean = shutdown.close()
        if not clean:
            console.print(f"[red]the end was not clean[/]; see {log_file(settings)}")
            sys.exit(1)
        console.print("ended in order")


def start(settings: Settings, listener: socket.socket, shutdown: Shutdown, waiting: Waiting) -> GatewayThread | None:
    """Bring every part up and register its end with `shutdown`; `waiting` is told what is waited for.

    None when the stop came first.
    """
    jobs = all_jobs()  # a mistake in their settings shows before anything runs
    context = open_context(settings)
    shutdown.add("log and store", context.close)
    with context.database.transaction() as connection:
        bootstrap_state(connection, settings.project, context.clock.now())
    health = Health()
    health.add("store", context.database.healthy)
    health.add("event_log", context.event_log.healthy)
    consumer = ConsumerThread(context)
    consumer.start()
    shutdown.add("consumer", consumer.stop)
    health.add("consumer", consumer.healthy)
    app = _application(context, health, jobs)
    serving = settings.serving
    gateway = GatewayThread(
        app,
        listener,
        head_timeout_seconds=serving.head_timeout_seconds,
        keep_alive_seconds=serving.keep_alive_seconds,
    )
    # Closed first: nothing new comes in, and what is in flight still has everything it needs.
    scheduler = Scheduler(context, jobs)
    shutdown.add("jobs", scheduler.close)
    shutdown.add("gateway", lambda: _end_gateway(health, gateway))
    gateway.start()
    await_ready(health, lambda: _failed(gateway, app), shutdown, waiting)
    if shutdown.stop.is_set():
        return None
    ease_process(threads_work=True)
    scheduler.start()
    health.add("scheduler", scheduler.healthy)
    log.info("up_ready", url=url_of(listener), jobs=[job.name for job in jobs])
    return gateway


def log_file(settings: Settings) -> Path:
    """Where the log of `plaudit up` is written when its format is json."""
    return settings.data_dir / "logs" / "up.jsonl"


class ConsumerThread:
    """The feedback consumer under the shutdown's order: it stops after the transaction in progress."""

    def __init__(self, context: Context) -> None:
        self._consumer = FeedbackConsumer(context)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._consumer.run, args=(self._stop,), name="consumer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the transaction in progress is committed and the groups are left."""
        self._stop.set()
        self._thread.join()

    def healthy(self) -> str | None:
        """None while both topics are read; a readiness check."""
        if not self._thread.is_alive():
            return "the consumer has ended; restart `plaudit up`"
        idle = [topic.kind for topic in self._consumer.topics if not topic.assigned]
        return f"no partition of {' and '.join(idle)} is read here yet" if idle else None


def _application(context: Context, health: Health, jobs: Sequence[Job]) -> Starlette:
    """The gateway with the feedback API beside it; it loads its model in the background and proves it."""
    feedback = routes(IngestService(context))
    return build_gateway(context, health, feedback, before_scrape=store_gauges(context, jobs))


def _end_gateway(health: Health, gateway: GatewayThread) -> None:
    health.drain()
    gateway.stop()


def _failed(gateway: GatewayThread, app: Starlette) -> str | None:
    gateway.check()
    reason: str | None = app.state.gateway.failed()
    return reason


def await_ready(health: Health, failed: Callable[[], str | None], shutdown: Shutdown, waiting: Waiting) -> None:
    """Wait until every check is well, or the stop comes. Raises NotReady as soon as something `failed` for good, or
    when the time is over, naming what never became well."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not (readiness := health.readiness()).ready and not shutdown.wait(POLL_SECONDS):
        if reason := failed():
            raise NotReady(reason)
        wrong = "; ".join(f"{name}: {said}" for name, said in readiness.checks.items() if said)
        waiting(wrong)
        if time.monotonic() > deadline:
            raise NotReady(f"not ready after {READY_WITHIN_SECONDS:.0f} s: {wrong}")


def _say_ready(console: Console, settings: Settings, listener: socket.socket) -> None:
    url = url_of(listener)
    console.print(
        f"[bold green]ready[/] at [bold]{url}/v1[/], model {settings.model.base}, data in {settings.data_dir}"
    )
    if settings.console.enabled:
        console.print(f"console at [bold]{url}/console[/]{_password_hint(settings)}")
    if settings.logging.format == "json":
        console.print(f"[dim]log: {log_file(settings)}, jobs: `plaudit jobs list`, end: Ctrl-C[/]")


def _password_hint(settings: Settings) -> str:
    """Where the password is, made now so that the file is there."""
    if not settings.console.local_password:
        return ", with an API key"
    console_password(settings)
    return f", password in {settings.data_dir / CONSOLE_PASSWORD_FILE}"


@contextlib.contextmanager
def _log_stream(settings: Settings) -> Iterator[TextIO]:
    """Standard output for the format `console`; for `json` a file, so that the terminal stays readable."""
    if settings.logging.format == "console":
        yield sys.stdout
        return
    path = log_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".jsonl.1"))
    with path.open("a", encoding="utf-8", buffering=1) as stream:
        yield stream
        # Whatever still logs after this has nowhere better to go.
        configure_logging(settings, process="up", stream=sys.stderr)
