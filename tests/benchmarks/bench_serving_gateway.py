"""What the gateway adds to its engine: `python -m tests.benchmarks.bench_serving_gateway [--quick]`.

The engine is a double that answers at once (`gateway_double`), so all the time there is is the gateway's: parsing,
limits, template, tokens, route, feedback token, queueing, waking up, decoding, the durable interaction, the answer.
Where there are two cores, the gateway's process has one; the process that keeps its spool and the load share the other.

Saturated, requests over the CPU seconds of the gateway's process and of the one that keeps its spool, all of their
threads, say what a core does. At half of the rate that was reached then, requests come at random (Poisson) and each
one's time from when it was due to the last byte of its answer counts: that is added latency. Nothing is taken off it.
What load, HTTP server, sockets and machine take of it by themselves stands beside it: the same load at the same rate on
the same server around an application that answers at once. So do how late the load was, how long the disk takes to make
an answer durable, the same load in turn with the process that keeps the spool instead of before it, the same load on a
gateway whose own threads keep the spool (`event_log.spool_process = false`), and on one that encodes its interactions
and keeps none, which says what durable answers cost.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings, ModelSettings
from infra.settings.serving import ServingSettings
from tests.benchmarks.gateway_client import Outcome, load
from tests.benchmarks.gateway_double import ANSWER_TOKENS, serve, serve_bare
from tests.fixtures.helpers import free_port, wait_until
from tests.models_fixtures import make_tiny_model

RUNS = 5
CONNECTIONS = 64
_spawn = multiprocessing.get_context("spawn")


def cores() -> tuple[int | None, int | None]:
    """(the gateway's, the load's); none where there are not two to be had."""
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else (None, None)


class Cpu(NamedTuple):
    """CPU seconds of the gateway's process, and of the one that keeps its spool."""

    gateway: float
    spool: float


class Bench:
    """A server in one process and its load in another."""

    def __init__(self, port: int, pipe: Connection, pool: ProcessPoolExecutor, folder: Path) -> None:
        self.folder = folder
        self._port = port
        self._pipe = pipe
        self._pool = pool
        self._seed = 0

    def load(
        self,
        count: int,
        *,
        rate: float | None = None,
        stream: bool = False,
        connections: int = CONNECTIONS,
        first: bool = True,
    ) -> tuple[Outcome, Cpu]:
        """(what came of it, the CPU seconds it took the gateway). `first`: the load goes before the spool's process."""
        self._seed += 1
        before = self._cpu()
        outcome = self._pool.submit(
            load, self._port, count, connections, rate, self._seed, stream, cores()[1], first
        ).result()
        if outcome.refused:
            raise RuntimeError(f"{outcome.refused} of {outcome.answered} requests were refused")
        after = self._cpu()
        return outcome, Cpu(after.gateway - before.gateway, after.spool - before.spool)

    def resident_bytes(self) -> tuple[int, int]:
        """Memory of the gateway's process, and of the one that keeps its spool."""
        self._pipe.send("rss")
        gateway, spool = self._pipe.recv()
        return int(gateway), int(spool)

    def _cpu(self) -> Cpu:
        self._pipe.send("cpu")
        return Cpu(*self._pipe.recv())


@contextmanager
def running(recording: bool = True, apart: bool = True) -> Iterator[Bench]:
    """A gateway on the double with an embedded log and store in a folder of its own; without `recording` it forgets
    what it answered, without `apart` its own threads keep the spool."""
    with tempfile.TemporaryDirectory(prefix="plaudit-bench-") as folder, ProcessPoolExecutor(1, _spawn) as pool:
        base = make_tiny_model(Path(folder) / "tiny")
        settings = Settings(
            data_dir=Path(folder) / "data",
            model=ModelSettings(base=str(base), dtype="float32", device="cpu", threads=1),
            serving=ServingSettings(replica="bench"),
            event_log=EventLogSettings(spool_process=recording and apart),
        )
        port = free_port()
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=serve, args=(settings, port, theirs, cores()[0], recording), daemon=True)
        with _started(process, port, ours):
            if recording and apart:
                _spool_beside_the_load(process)
            yield Bench(port, ours, pool, Path(folder))


def _spool_beside_the_load(gateway: SpawnProcess) -> None:
    """The process that keeps the spool inherits the gateway's core: give it the other one."""
    children = wait_until(psutil.Process(gateway.pid).children, 60, "the process that keeps the spool")
    core = cores()[1]
    for thread in [number for child in children for number in os.listdir(f"/proc/{child.pid}/task")]:
        if core is not None:
            os.sched_setaffinity(int(thread), {core})


@contextmanager
def running_bare() -> Iterator[Bench]:
    """The server around an application that answers at once."""
    with tempfile.TemporaryDirectory(prefix="plaudit-bench-") as folder, ProcessPoolExecutor(1, _spawn) as pool:
        port = free_port()
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=serve_bare, args=(port, theirs, cores()[0]), daemon=True)
        with _started(process, port, ours):
            yield Bench(port, ours, pool, Path(folder))


@contextmanager
def _started(process: SpawnProcess, port: int, pipe: Connection) -> Iterator[None]:
    process.start()
    try:
        wait_until(lambda: _ready(port), 300, "the server to be ready", 0.2)
        yield
    finally:
        pipe.send("end")
        process.join(10)
        process.kill()


def flush_seconds(folder: Path, count: int) -> list[float]:
    """How long the disk takes to make 8 KiB durable: an answer waits for one such flush, or for two."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(count):
            file.write(bytes(8192))
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return taken


def measure(quick: bool = False) -> dict[str, Any]:
    """Median of five runs, in one process of the gateway: requests a core-second saturated, plain and streamed, and
    latency in seconds at half of that rate."""
    count, runs = (600, 1) if quick else (6000, RUNS)
    rows: list[dict[str, float]] = []
    first = True
    with running() as bench, running_bare() as bare:
        bench.load(count // 2)  # caches, pages of the log
        bare.load(count // 2)
        for _ in range(runs):
            flushes = flush_seconds(bench.folder, 50 if quick else 300)
            plain, cpu = bench.load(count)
            row = {
                "per_core": count / sum(cpu),
                "per_second": count / plain.wall_seconds,
                "client_cpu": plain.cpu_seconds,
            }
            half, cpu = bench.load(count, rate=row["per_second"] / 2)
            row |= {"busy": cpu.gateway / half.wall_seconds, "spool_busy": cpu.spool / half.wall_seconds}
            behind, _ = bench.load(count, rate=row["per_second"] / 2, first=False)
            control, _ = bare.load(count, rate=row["per_second"] / 2)
            first = first and plain.first and half.first and control.first
            row |= _percentiles("p", half.latencies) | _percentiles("late", half.late)
            row |= _percentiles("bare", control.latencies)
            row |= _percentiles("behind", behind.latencies) | _percentiles("behind_late", behind.late)
            streamed, cpu = bench.load(count // 3, stream=True)
            row |= {
                "streams_per_core": (count // 3) / sum(cpu),
                "streams_per_second": (count // 3) / streamed.wall_seconds,
            }
            row |= {f"flush{q}": float(np.percentile(flushes, q)) for q in (50, 99)}
            rows.append(row)
    for name, recording in (("unkept", False), ("threads", True)):  # each by itself: two on one core would disturb
        with running(recording=recording, apart=False) as other:
            other.load(count // 2)
            for row in rows:
                found, cpu = other.load(count, rate=row["per_second"] / 2)
                row |= _percentiles(name, found.latencies) | {f"{name}_busy": cpu.gateway / found.wall_seconds}
    names = rows[0].keys()
    return {
        "requests": count,
        "runs": runs,
        "connections": CONNECTIONS,
        "answer_tokens": ANSWER_TOKENS,
        "load_first": first,
        **{name: statistics.median(row[name] for row in rows) for name in names},
        "ranges": {name: [min(row[name] for row in rows), max(row[name] for row in rows)] for name in names},
    }


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}{q:g}": float(np.percentile(seconds, q)) for q in (50, 90, 99, 99.9)}


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    ranges = result["ranges"]

    def line(what: str, name: str, scale: float, target: str = "") -> str:
        low, high = (scale * value for value in ranges[name])
        form = "{:,.0f}" if scale == 1 else "{:.2f}"
        return (
            f"| {what} | {form.format(scale * result[name])} | {form.format(low)} to {form.format(high)} | {target} |"
        )

    first = result.get("load_first")
    return "\n".join(
        [
            f"The load went before the spool's process on their core: {'yes' if first else 'no, it may not here'}.",
            "",
            "| | median | range | target |",
            "|---|---:|---:|---|",
            line("requests a core-second, saturated, logged", "per_core", 1, "2,000"),
            line("requests a second, saturated", "per_second", 1),
            line("added latency at half of that, median, ms", "p50", 1000),
            line("the same, 90th percentile", "p90", 1000),
            line("the same, 99th percentile", "p99", 1000, "under 5"),
            line("the same, 99.9th percentile", "p99.9", 1000),
            line("share of the gateway's core that it takes then, %", "busy", 100),
            line("share of the other core that keeping the spool takes then, %", "spool_busy", 100),
            line("the same load where threads of the gateway keep the spool, median, ms", "threads50", 1000),
            line("the same, 99th percentile", "threads99", 1000),
            line("share of the gateway's core that it takes then, %", "threads_busy", 100),
            line("the same load without keeping interactions, median, ms", "unkept50", 1000),
            line("the same, 99th percentile", "unkept99", 1000),
            line("share of the gateway's core that it takes then, %", "unkept_busy", 100),
            line("of which load, HTTP server and machine alone, median, ms", "bare50", 1000),
            line("the same, 99th percentile", "bare99", 1000),
            line("of which the load was late, 99th percentile", "late99", 1000),
            line("the same load in turn with the spool's process, 99th percentile, ms", "behind99", 1000),
            line("of which the load was late then, 99th percentile", "behind_late99", 1000),
            line("of which the disk: one flush of 8 KiB, idle, median, ms", "flush50", 1000),
            line("the same, 99th percentile", "flush99", 1000),
            line(f"streams of {result['answer_tokens']} tokens a core-second", "streams_per_core", 1),
        ]
    )


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small run")
    found = measure(parser.parse_args().quick)
    print(json.dumps(found, indent=1))
    print(table(found))
