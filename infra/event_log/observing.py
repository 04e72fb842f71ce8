"""Metrics of appends, the same for every adapter."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, NamedTuple

from infra.contracts.errors import PlauditError
from infra.event_log.deadlines import Acknowledgement
from infra.event_log.port import Position, Record
from infra.metrics import catalogue


class _Counts(NamedTuple):
    seconds: Any
    records: Any
    size: Any


@lru_cache(64)
def _counts(topic: str) -> _Counts:
    """The metrics of a topic: looking them up costs more than counting."""
    return _Counts(
        catalogue.EVENT_LOG_APPEND_SECONDS.labels(topic),
        catalogue.EVENT_LOG_APPENDED_RECORDS.labels(topic),
        catalogue.EVENT_LOG_APPENDED_BYTES.labels(topic),
    )


def error_code(finished: "Future[list[Position]]") -> str | None:
    """What the append failed with; None: it did not."""
    if finished.cancelled():
        return "cancelled"
    error = finished.exception()
    if error is None:
        return None
    return error.code if isinstance(error, PlauditError) else "internal_error"


def count(topic: str, records: int, size: int, seconds: float, error: str | None) -> None:
    """Count an append that has ended, with an error of that code if it failed."""
    counts = _counts(topic)
    counts.seconds.observe(seconds)
    if error is not None:
        catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, error).inc()
    else:
        counts.records.inc(records)
        counts.size.inc(size)


def observe(topic: str, records: Sequence[Record], future: Acknowledgement) -> Acknowledgement:
    """Count the append when it is done; returns the future."""
    started = time.perf_counter()
    size = sum(len(record.key) + len(record.value) for record in records)

    def done(finished: "Future[list[Position]]") -> None:
        count(topic, len(records), size, time.perf_counter() - started, error_code(finished))

    future.add_done_callback(done)
    return future
