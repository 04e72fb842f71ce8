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


def observe(topic: str, records: Sequence[Record], future: Acknowledgement) -> Acknowledgement:
    """Count the append when it is done; returns the future."""
    started = time.perf_counter()
    size = sum(len(record.key) + len(record.value) for record in records)

    def done(finished: "Future[list[Position]]") -> None:
        counts = _counts(topic)
        counts.seconds.observe(time.perf_counter() - started)
        if finished.cancelled():
            catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, "cancelled").inc()
        elif (error := finished.exception()) is not None:
            code = error.code if isinstance(error, PlauditError) else "internal_error"
            catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, code).inc()
        else:
            counts.records.inc(len(records))
            counts.size.inc(size)

    future.add_done_callback(done)
    return future
