"""Ingest, measured: `make bench-ingest`, or `python -m tests.benchmarks.bench_ingest`, options by `--help`.

Unique events a core-second: events over the CPU seconds (user + system) of the API's and the consumer's processes,
from the first request to the last event in the ledger with its label; load generator, broker and database server are
left out. Batches of 100 in the mix of `ingest_traffic`, 1 % of the requests sent twice, log at synchronous=FULL; after
every run it is checked that every event counts once and every answer has its label. Scenarios take turns within a
round, so that a slow moment of the machine hits all; the bare limit (`ingest_bare`) is measured in every round. Median
of the rounds, and the range. Writes `docs/benchmarks/ingest.json` and the table in `docs/benchmarks/ingest.md`. The
large store is filled by the database itself (`ingest_fill`), before anything is measured on it. `--only` measures one
size and leaves the figures of the others as they are, so that the whole can be done in two halves.
"""

import argparse
import json
import statistics
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.benchmarks import ingest_bare, ingest_traffic
from tests.benchmarks.ingest_fill import fill
from tests.benchmarks.ingest_report import machine, render, write_page
from tests.benchmarks.ingest_scenarios import Place, Throughput, latency, place, quantile, throughput

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
SYSTEMS = {
    "HTTP, embedded log, SQLite": ("sqlite", "embedded"),
    "HTTP, Kafka protocol, SQLite": ("sqlite", "kafka"),
    "HTTP, embedded log, PostgreSQL": ("postgres", "embedded"),
}
PARTS = ("decode", "write", "log", "labels")
SINGLES = "single events, embedded log, SQLite"
Figures = dict[str, list[Any]]


def round_of(options: argparse.Namespace, places: dict[str, Place], seed: int, figures: Figures) -> None:
    """Every scenario once."""
    _, events = ingest_traffic.traffic(options.events, seed)
    figures["bare"].append(ingest_bare.measure(ingest_traffic.bodies(events, 100), 100))
    for name, where in places.items():
        figures[name].append(throughput(where, options.events, 100, seed))
        print(f"  {name}: {figures[name][-1].per_core_second:,.0f} events a core-second", flush=True)
    embedded = next(iter(places.values()))
    figures[SINGLES].append(throughput(embedded, options.singles, 1, seed, connections=64))
    print(f"  {SINGLES}: {figures[SINGLES][-1].per_second:,.0f} a second", flush=True)


def delays(options: argparse.Namespace, where: Place, figures: Figures) -> list[float]:
    """Event to label at half of the load that the same system just carried."""
    whole = statistics.median([run.per_second for run in figures[next(iter(SYSTEMS))]])
    return latency(where, 100, whole / 200, options.seconds, seed=999)


def at_size(options: argparse.Namespace, rows: int) -> dict[str, Any]:
    """All scenarios on stores that hold `rows` events to begin with."""
    figures: Figures = defaultdict(list)
    with ExitStack() as stack:
        places = {name: stack.enter_context(place(*parts)) for name, parts in SYSTEMS.items()}
        for name, where in places.items():
            if rows:
                print(f"filling {name} with {rows:,} events", flush=True)
                fill(where.database, rows)
        for number in range(options.runs):
            print(f"round {number + 1} of {options.runs}, {rows:,} rows before", flush=True)
            round_of(options, places, 1000 * (rows > 0) + number, figures)
        found = delays(options, places[next(iter(SYSTEMS))], figures)
    return summary(figures, found)


def summary(figures: Figures, found: list[float]) -> dict[str, Any]:
    """Medians and ranges."""
    bare = [run.total for run in figures["bare"]]
    labelled = [run.total + run.labels for run in figures["bare"]]
    first = [run.per_core_second for run in figures[next(iter(SYSTEMS))]]
    document: dict[str, Any] = {
        "bare": {
            "reached_with_labels": spread([one * total / 1e6 for one, total in zip(first, labelled, strict=True)]),
            "events_per_core_second": spread([1e6 / total for total in bare]),
            **{part: spread([getattr(run, part) for run in figures["bare"]]) for part in PARTS},
        },
        "label_delay_seconds": {"p50": quantile(found, 0.5), "p99": quantile(found, 0.99), "probes": len(found)},
    }
    for name in (*SYSTEMS, SINGLES):
        runs: list[Throughput] = figures[name]
        document[name] = {
            "events_per_core_second": spread([run.per_core_second for run in runs]),
            "api_microseconds": spread([run.api for run in runs]),
            "consumer_microseconds": spread([run.consumer for run in runs]),
            "events_per_second": spread([run.per_second for run in runs]),
            "of_bare_limit": spread([run.per_core_second * total / 1e6 for run, total in zip(runs, bare, strict=True)]),
        }
    return document


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def _kept(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of other sizes, written before."""
    path = options.folder / "ingest.json"
    if options.only is None or not path.exists():
        return {}
    sizes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["sizes"]
    return {size: figures for size, figures in sizes.items() if int(size) != options.only}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000, help="unique events a run")
    parser.add_argument("--singles", type=int, default=20_000, help="events a run of single posts")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5_000_000, help="size of the large store; 0 leaves it out")
    parser.add_argument("--only", type=int, help="measure this size of store alone: 0, or the rows of the large one")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load while label delays are probed")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where ingest.json and ingest.md are written")
    options = parser.parse_args()
    document = {"machine": machine(), "events": options.events, "runs": options.runs, "sizes": _kept(options)}
    for rows in dict.fromkeys((0, options.rows) if options.only is None else (options.only,)):
        document["sizes"][str(rows)] = at_size(options, rows)
        document["sizes"] = {size: document["sizes"][size] for size in sorted(document["sizes"], key=int)}
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "ingest.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        write_page(options.folder / "ingest.md", render(document))
        print(render(document))


if __name__ == "__main__":
    main()
