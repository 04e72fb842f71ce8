"""Events a CPU-second through HTTP -> log -> SQLite: `python -m tests.benchmarks.bench_ingest [--events 20000]`.

One child process holds the API (uvicorn, uvloop, httptools), the embedded log and the consumer; this process posts
batches over loopback and is not counted. Figure: unique events over the child's CPU seconds (user + system), from the
first request to the last event in the ledger with its label. Median and spread of several fresh runs.
"""

import argparse
import http.client
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from infra.contracts import uuid7
from tests.fixtures.helpers import accepts_connections, free_port, wait_until


@dataclass(frozen=True)
class Result:
    """One run. `events_per_cpu_second` counts API and consumer; the child's CPU seconds are split by what ran."""

    events_per_cpu_second: float
    post_cpu_seconds: float
    total_cpu_seconds: float
    wall_seconds: float


def serve(folder: str, port: int, pipe: Connection) -> None:
    """The child: API first; the consumer starts when told, so that both shares can be seen."""
    import uvicorn
    from sqlalchemy import func, select

    from infra.db.tables.feedback import feedback_events
    from infra.runtime import open_context
    from infra.settings import Settings
    from ingest.api import build_app
    from ingest.consumer import FeedbackConsumer

    context = open_context(Settings(data_dir=Path(folder)))
    config = uvicorn.Config(build_app(context), port=port, log_level="warning", access_log=False)
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
    pipe.recv()
    start = cpu_seconds()
    pipe.send("go")
    pipe.recv()
    posted = cpu_seconds()
    consumer = FeedbackConsumer(context)
    consumer.drain(600.0)
    end = cpu_seconds()
    with context.database.reading() as connection:
        stored = connection.execute(select(func.count()).select_from(feedback_events)).scalar()
    pipe.send((posted - start, end - start, stored))
    pipe.recv()


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bodies(events: int, batch: int, events_per_answer: int) -> list[bytes]:
    """Bodies of `batch` events; an answer gets several reactions, as it does in life."""
    signals = ["shown", "like", "copy", "share"]
    documents = []
    for i in range(events):
        documents.append(
            {
                "event_id": str(uuid7()),
                "response_id": f"chatcmpl-{i // events_per_answer:032d}",
                "signal": signals[i % events_per_answer % len(signals)],
                "user": f"user-{i % 997}",
                "created_at": 1_700_000_000.0 + i,
                "sent_at": 1_700_000_001.0 + i,
            }
        )
    return [msgspec.json.encode(documents[i : i + batch]) for i in range(0, events, batch)]


def run(events: int, batch: int, events_per_answer: int) -> Result:
    """One fresh run."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        child = spawn.Process(target=serve, args=(folder, port, theirs))
        child.start()
        try:
            wait_until(lambda: accepts_connections(f"127.0.0.1:{port}"), 60.0, "the API")
            load = bodies(events, batch, events_per_answer)
            ours.send("ready")
            ours.recv()
            started = time.perf_counter()
            post(port, load)
            ours.send("posted")
            post_cpu, total_cpu, stored = ours.recv()
            wall = time.perf_counter() - started
            ours.send("bye")
            assert stored == events, f"{stored} of {events} stored"
        finally:
            child.kill()
            child.join()
    return Result(events / total_cpu, post_cpu, total_cpu, wall)


def post(port: int, load: list[bytes], connections: int = 8) -> None:
    """Send every body; several connections, so that the log can commit groups."""

    def work(share: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for body in share:
            connection.request("POST", "/v1/feedback", body)
            answer = connection.getresponse()
            assert answer.status == 202, answer.read()
            answer.read()
        connection.close()

    threads = [threading.Thread(target=work, args=(load[i::connections],)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--events-per-answer", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    results = [run(options.events, options.batch, options.events_per_answer) for _ in range(options.runs)]
    rates = sorted(result.events_per_cpu_second for result in results)
    api = statistics.median(r.post_cpu_seconds for r in results) / options.events * 1e6
    consume = statistics.median(r.total_cpu_seconds - r.post_cpu_seconds for r in results) / options.events * 1e6
    print(
        f"{statistics.median(rates):,.0f} events/CPU-second (of {len(rates)} runs: {rates[0]:,.0f} to {rates[-1]:,.0f})"
    )
    print(f"API and log {api:.1f} us an event, consumer and store {consume:.1f} us an event")


if __name__ == "__main__":
    main()
