"""Events a second through the event log, by batch size: `python -m tests.benchmarks.bench_event_log [--kafka]`.

Each run appends the same number of 298-byte events to a fresh topic, as JSON arrays of 1, 10, 100 or 500 of them a
record, with 64 appends in flight, and waits until all are durable; then a new group reads them back. Sizes take turns
within a round, so that a slow moment of the machine hits all of them. Printed: the median of five rounds and the range.
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.contracts import SystemClock
from infra.event_log import EventLog, Record, open_event_log
from infra.event_log.deadlines import Acknowledgement
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings
from tests.conformance.logs import join
from tests.fixtures.broker import running_broker

BATCHES = (1, 10, 100, 500)
IN_FLIGHT = 64


def event(number: int) -> bytes:
    """One JSON event of 298 bytes."""
    body = {"event_id": str(uuid.uuid4()), "response_id": f"chatcmpl-{uuid.uuid4()}", "signal": "like", "n": number}
    text = json.dumps(body)
    return (text[:-1] + ', "pad": "' + "x" * (298 - len(text) - 11) + '"}').encode()


def records(events: list[bytes], batch: int) -> list[Record]:
    """The events as records of `batch` each, spread over partitions by key."""
    return [
        Record(key=str(start).encode(), value=b"[" + b",".join(events[start : start + batch]) + b"]")
        for start in range(0, len(events), batch)
    ]


def append_all(log: EventLog, topic: str, wanted: list[Record]) -> float:
    """Seconds until all are durable."""
    flying: deque[Acknowledgement] = deque()
    started = time.perf_counter()
    for record in wanted:
        if len(flying) >= IN_FLIGHT:
            flying.popleft().result()
        flying.append(log.append(topic, [record]))
    for future in flying:
        future.result()
    return time.perf_counter() - started


def read_all(log: EventLog, topic: str, count: int) -> float:
    """Seconds to read `count` records, after the group has settled."""
    consumer = log.consumer(topic, "bench")
    try:
        partitions = log.partitions(topic)
        join([consumer], partitions)
        for partition in range(partitions):
            consumer.seek(partition, 0)
        started = time.perf_counter()
        while count > 0:
            count -= len(consumer.poll(500, 1.0))
        return time.perf_counter() - started
    finally:
        consumer.close()


@contextmanager
def opened(kind: str) -> Iterator[EventLog]:
    """A fresh log of that kind."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "embedded":
            log = open_event_log(Settings(data_dir=Path(folder)), SystemClock())
            yield log
            log.close()
            return
        with running_broker() as bootstrap:
            settings = EventLogSettings(
                kind="kafka", bootstrap_servers=bootstrap, replication_factor=1, session_timeout_seconds=2.0
            )
            log = open_event_log(Settings(data_dir=Path(folder), event_log=settings), SystemClock())
            yield log
            log.close()


def report(name: str, count: int, seconds: list[float]) -> str:
    rates = sorted(count / taken for taken in seconds)
    return f"{name} {statistics.median(rates):>9,.0f} events/s ({rates[0]:,.0f} to {rates[-1]:,.0f})"


def run(kind: str, total: int, rounds: int) -> None:
    appended: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    read: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    # One by one each event costs a record: fewer of them are enough, and the rate is per event all the same.
    counts = {batch: total if batch > 1 else total // 10 for batch in BATCHES}
    for _ in range(rounds):
        for batch in BATCHES:
            wanted = records([event(number) for number in range(counts[batch])], batch)
            with opened(kind) as log:
                topic = f"bench.{batch}"
                log.ensure_topic(topic)
                appended[batch].append(append_all(log, topic, wanted))
                read[batch].append(read_all(log, topic, len(wanted)))
    print(f"{kind}: events of 298 bytes, {IN_FLIGHT} appends in flight, median of {rounds} (lowest to highest)")
    for batch in BATCHES:
        print(f"  batch {batch:>3}  {report('append', counts[batch], appended[batch])}")
        print(f"             {report('read  ', counts[batch], read[batch])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kafka", action="store_true", help="also through a Kafka-protocol broker started here")
    arguments = parser.parse_args()
    for kind in ("embedded", "kafka") if arguments.kafka else ("embedded",):
        run(kind, arguments.events, arguments.rounds)


if __name__ == "__main__":
    main()
