"""Traces of answers across processes: completion -> feedback -> its application -> label.

An answer's id holds a UUIDv7, which is as long as a trace id: it is the trace id. So feedback that comes days later, by
another process and without any header, is part of the answer's trace, and nothing has to be remembered. Spans are made
after the fact, from times that are known anyway; nothing waits for them. Records of the log carry `traceparent`
headers (W3C Trace Context), so that the consumer knows what to show without reading values.

Off by default; OpenTelemetry is imported when it is switched on. Spans hold ids and numbers, never what people wrote
nor who they are. A failure of tracing is logged once and changes nothing else.
"""

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import structlog

from infra.contracts.errors import PlauditError
from infra.event_log.port import Record, StoredRecord
from infra.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

log = structlog.get_logger()

HEADER = "traceparent"
MAX_A_RECORD = 64
"""Traces one record speaks of at most: it may hold the feedback of thousands of answers."""

T = TypeVar("T")
Header = tuple[str, bytes]
Attributes = Mapping[str, str | int | float | bool]


class TracingUnavailable(PlauditError):
    """Traces are asked for, and a library that makes or sends them is missing."""

    code = "tracing_unavailable"


def trace_id_of(response_id: str) -> int:
    """The trace of an answer, 128 bits: the UUID at the end of its id; of ids of another shape, a hash."""
    try:
        return uuid.UUID(response_id[-36:]).int
    except ValueError:
        return int.from_bytes(hashlib.blake2b(response_id.encode(), digest_size=16).digest())


def completion_span_of(response_id: str) -> int:
    """The span of its completion, 64 bits: what later spans are children of, whoever makes them."""
    return int.from_bytes(hashlib.blake2b(b"completion\0" + response_id.encode(), digest_size=8).digest()) or 1


def is_sampled(trace_id: int, ratio: float) -> bool:
    """Whether a trace is made; every process says the same. By the last 56 bits, which are random in a UUIDv7."""
    return (trace_id & ((1 << 56) - 1)) < ratio * (1 << 56)


def traceparent(trace_id: int, span_id: int) -> bytes:
    """The header of W3C Trace Context, sampled."""
    return f"00-{trace_id:032x}-{span_id:016x}-01".encode()


def parents(records: Iterable[Record | StoredRecord]) -> list[tuple[int, int]]:
    """(trace id, span id) of every `traceparent` of these records; what cannot be read is left out."""
    found = []
    for record in records:
        for name, value in record.headers:
            parts = value.decode("ascii", "replace").split("-") if name == HEADER else []
            if len(parts) == 4 and len(parts[1]) == 32 and len(parts[2]) == 16:
                try:
                    found.append((int(parts[1], 16), int(parts[2], 16)))
                except ValueError:
                    continue
    return found


class Tracing:
    """A tracer of this process. One is enough; it is safe to share between threads."""

    def __init__(self, process: str, ratio: float, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class ChosenIds(RandomIdGenerator):
            """Ids that were chosen before; else random ones."""

            def generate_trace_id(self) -> int:
                chosen: int | None = getattr(_chosen, "trace_id", None)
                return chosen if chosen is not None else super().generate_trace_id()

            def generate_span_id(self) -> int:
                chosen: int | None = getattr(_chosen, "span_id", None)
                return chosen if chosen is not None else super().generate_span_id()

        self._ratio = ratio
        # A provider of our own: MLflow's stays as it is.
        resource = Resource.create({"service.name": f"plaudit-{process}"})
        self._provider: TracerProvider = TracerProvider(resource=resource, id_generator=ChosenIds())
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer("plaudit")

    def sampled(self, response_id: str) -> bool:
        return is_sampled(trace_id_of(response_id), self._ratio)

    def completion(self, response_id: str, started: float, ended: float, attributes: Attributes) -> Header:
        """The first span of a trace."""
        _chosen.trace_id, _chosen.span_id = trace_id_of(response_id), completion_span_of(response_id)
        try:
            self._make("completion", None, started, ended, {"plaudit.response_id": response_id, **attributes})
        finally:
            _chosen.trace_id = _chosen.span_id = None
        return HEADER, traceparent(trace_id_of(response_id), completion_span_of(response_id))

    def child(self, name: str, parent: tuple[int, int], started: float, ended: float, attributes: Attributes) -> Header:
        """A span below another one, of this process or of any."""
        trace_id, span_id = self._make(name, parent, started, ended, attributes)
        return HEADER, traceparent(trace_id, span_id)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()

    def _make(
        self, name: str, parent: tuple[int, int] | None, started: float, ended: float, attributes: Attributes
    ) -> tuple[int, int]:
        from opentelemetry import trace
        from opentelemetry.context import Context

        context = Context()
        if parent is not None:
            above = trace.SpanContext(*parent, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
            context = trace.set_span_in_context(trace.NonRecordingSpan(above), context)
        span = self._tracer.start_span(name, context, attributes=dict(attributes), start_time=int(started * 1e9))
        span.end(int(max(started, ended) * 1e9))
        made = span.get_span_context()
        return made.trace_id, made.span_id


_chosen = threading.local()
_active: Tracing | None = None


def configure_tracing(settings: Settings, process: str, exporter: "SpanExporter | None" = None) -> None:
    """Begin to make traces where `tracing.enabled`; the first call of a process holds. `exporter`: for tests.

    Raises TracingUnavailable.
    """
    global _active
    if settings.tracing.enabled and _active is None:
        _active = Tracing(process, settings.tracing.sample_ratio, exporter or _otlp(settings))


def stop_tracing() -> None:
    """Send what waits, and make no more."""
    global _active
    before, _active = _active, None
    if before is not None:
        before.close()


def active() -> bool:
    """Whether this process makes traces: ask before anything is put together for them."""
    return _active is not None


def completed(response_id: str, started: float, ended: float, attributes: Attributes) -> tuple[Header, ...]:
    """An answer was made: its headers on the log."""
    if _active is None or not _active.sampled(response_id):
        return ()
    return _guarded(lambda tracing: (tracing.completion(response_id, started, ended, attributes),))


def happened(name: str, response_ids: Iterable[str], started: float, ended: float) -> dict[str, Header]:
    """Something was done with these answers, the traced ones of which get a span each: response id -> header."""
    if _active is None:
        return {}
    ratio_of = _active.sampled
    chosen = [response_id for response_id in dict.fromkeys(response_ids) if ratio_of(response_id)][:MAX_A_RECORD]

    def make(tracing: Tracing) -> tuple[tuple[str, Header], ...]:
        return tuple((one, tracing.child(name, _completion(one), started, ended, _named(one))) for one in chosen)

    return dict(_guarded(make)) if chosen else {}


def applied(records: Sequence[StoredRecord], kind: str, started: float, ended: float) -> None:
    """Records were applied to the store: a span for each trace that their headers name."""
    if _active is None:
        return
    traced = [record for record in records if record.headers]

    def make(tracing: Tracing) -> tuple[Header, ...]:
        attributes: Attributes = {"plaudit.kind": kind, "plaudit.records": len(records)}
        return tuple(tracing.child(f"{kind}.apply", one, started, ended, attributes) for one in parents(traced))

    if traced:
        _guarded(make)


def _completion(response_id: str) -> tuple[int, int]:
    return trace_id_of(response_id), completion_span_of(response_id)


def _named(response_id: str) -> Attributes:
    return {"plaudit.response_id": response_id}


def _guarded(make: Callable[[Tracing], tuple[T, ...]]) -> tuple[T, ...]:
    """What `make` gives; () when it fails: no answer and no vote is lost for a trace."""
    tracing = _active
    try:
        return make(tracing) if tracing is not None else ()
    except Exception as error:
        log.warning("tracing_failed", error=str(error), error_type=type(error).__name__)
        return ()


def _otlp(settings: Settings) -> "SpanExporter":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise TracingUnavailable(
            f"tracing.enabled is set, and spans cannot be sent ({error}): pip install 'plaudit[tracing]', or unset it",
            field="tracing.enabled",
        ) from error
    exporter: SpanExporter = OTLPSpanExporter(endpoint=settings.tracing.endpoint or None)
    return exporter


os.register_at_fork(after_in_child=lambda: globals().update(_active=None))
