"""API and consumer as the processes they are in production, each telling its CPU time."""

import multiprocessing
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from infra.runtime.collector import ease_collector
from infra.settings import Settings
from tests.fixtures.helpers import accepts_connections, free_port, wait_until

_spawn = multiprocessing.get_context("spawn")


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(settings: Settings, port: int, pipe: Connection) -> None:
    """The API as `plaudit ingest api` runs it; answers every message with its CPU time."""
    import uvicorn

    from infra.runtime import open_context
    from ingest.api import build_app

    context = open_context(settings)
    config = uvicorn.Config(build_app(context), port=port, log_config=None, access_log=False)
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
    _answer(pipe, lambda: 0)


def consume(settings: Settings, pipe: Connection) -> None:
    """The consumer as `plaudit ingest consume` runs it; answers with CPU time and number of events applied."""
    from infra.metrics.catalogue import INGEST_APPLIED
    from infra.runtime import open_context
    from ingest.consumer import FeedbackConsumer

    context = open_context(settings)
    stop = threading.Event()
    threading.Thread(target=FeedbackConsumer(context).run, args=(stop,), daemon=True).start()

    def applied() -> int:
        """Of this one metric: to read the whole registry twenty times a second would be measured with the consumer."""
        samples = [one for metric in INGEST_APPLIED.collect() for one in metric.samples if one.name.endswith("_total")]
        return sum(int(one.value) for one in samples if one.labels["kind"] == "feedback")

    _answer(pipe, applied)


def _answer(pipe: Connection, count: Callable[[], int]) -> None:
    ease_collector()
    while pipe.recv() != "end":
        pipe.send((cpu_seconds(), count()))


@dataclass
class Child:
    """A process and its pipe."""

    process: BaseProcess
    pipe: Connection

    def ask(self) -> tuple[float, int]:
        """(CPU seconds so far, events applied so far)."""
        self.pipe.send("tell")
        cpu, count = self.pipe.recv()
        return float(cpu), int(count)


def _started(target: Callable[..., None], *arguments: Any) -> Child:
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    return Child(process, ours)


@dataclass
class System:
    """Both processes, running."""

    api: Child
    consumer: Child
    port: int

    def wait_applied(self, target: int, timeout_seconds: float = 600.0) -> None:
        """Until the consumer has applied `target` events since it started."""
        deadline = time.monotonic() + timeout_seconds
        while self.consumer.ask()[1] < target:
            assert time.monotonic() < deadline, f"{self.consumer.ask()[1]} of {target} events applied"
            time.sleep(0.05)


@contextmanager
def running(settings: Settings) -> Iterator[System]:
    """API and consumer over `settings`, ready: the API answers, the consumer has its partitions."""
    port = free_port()
    api, consumer = _started(serve, settings, port), _started(consume, settings)
    try:
        wait_until(lambda: accepts_connections(f"127.0.0.1:{port}"), 60.0, "the API")
        consumer.ask()
        yield System(api, consumer, port)
    finally:
        for child in (api, consumer):
            child.process.kill()
            child.process.join()
