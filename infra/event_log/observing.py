"""Metrics of appends, the same for every adapter."""

import time
from collections.abc import Sequence
from concurrent.futures import Future

from infra.contracts.errors import PlauditError
from infra.event_log.deadlines import Acknowledgement
from infra.event_log.port import Position, Record
from infra.metrics import catalogue


def observe(topic: str, records: Sequence[Record], future: Acknowledgement) -> Acknowledgement:
    """Count the append when it is done; returns the future."""
    started = time.perf_counter()
    size = sum(len(record.key) + len(record.value) for record in records)

    def done(finished: "Future[list[Position]]") -> None:
        catalogue.EVENT_LOG_APPEND_SECONDS.labels(topic).observe(time.perf_counter() - started)
        if finished.cancelled():
            catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, "cancelled").inc()
        elif (error := finished.exception()) is not None:
            code = error.code if isinstance(error, PlauditError) else "internal_error"
            catalogue.EVENT_LOG_APPEND_FAILURES.labels(topic, code).inc()
        else:
            catalogue.EVENT_LOG_APPENDED_RECORDS.labels(topic).inc(len(records))
            catalogue.EVENT_LOG_APPENDED_BYTES.labels(topic).inc(size)

    future.add_done_callback(done)
    return future
