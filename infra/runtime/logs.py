"""Logging: structlog, one JSON object a line, `snake_case` facts as event names, and never what people wrote.

    log = structlog.get_logger()
    log.info("adapter_proven", adapter="loop@3", margin_nats=0.12)

`structlog.contextvars.bind_contextvars(run_id=...)` adds to every line of a request or job.
"""

import logging
import sys
from contextlib import suppress
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infra.runtime.tracing import trace_id_of
from infra.settings import Settings

TEXT_KEYS = frozenset(
    {"prompt", "messages", "content", "text", "completion", "answer", "answers", "comment", "user", "authorization"}
)
"""Fields that may hold what a person or the model wrote, or who a person is: replaced by their length."""

_QUIET = ("apscheduler", "httpx", "httpcore", "alembic", "kafka", "urllib3", "filelock", "mlflow", "git")
"""Libraries whose routine messages say nothing that our own do not."""


class _Handler(logging.StreamHandler[TextIO]):
    """Tells that a line could not be written in few words: the standard library's way prints the exceptions that led
    there, and with them what people wrote."""

    def handleError(self, record: logging.LogRecord) -> None:
        problem = sys.exc_info()[0]
        if sys.stderr is not None:
            with suppress(OSError, ValueError):
                place = f"{record.pathname}:{record.lineno}"
                sys.stderr.write(f"a line of {place} was not logged: {problem.__name__ if problem else ''}\n")


def configure_logging(settings: Settings, *, process: str = "plaudit", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's logging to `stream` (default: standard output).

    May be called again; the last call holds. `process` names this process on every line.
    """
    level = getattr(logging, settings.logging.level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        named(process, settings.project),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        withhold_texts,
        *([with_trace] if settings.tracing.enabled else []),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if settings.logging.format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = _Handler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, name_foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a late run is our own `job_skipped_busy`


def named(process: str, project: str) -> Processor:
    """Adds who speaks to every line. Not a context variable: those do not reach threads begun elsewhere."""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        event.setdefault("project", project)
        return event

    return add


def with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Adds the trace of the answer a line is about."""
    if isinstance(event.get("response_id"), str):
        event["trace_id"] = f"{trace_id_of(event['response_id']):032x}"
    return event


def withhold_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what people wrote by how much they wrote."""
    for key in TEXT_KEYS & event.keys():
        value = event[key]
        size = len(value) if hasattr(value, "__len__") else 1
        event[key] = f"<withheld: {size}>"
    return event


def name_foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A library's sentence is not an event name: it becomes `library_message`."""
    record = event.get("_record")
    event["message"] = event.pop("event", "")
    event["event"] = "library_message"
    event["library"] = record.name if record is not None else ""
    return event
