"""The page that `bench_ingest` writes: a table between two marks, the words around it are people's."""

import datetime
import importlib.metadata
import os
import platform
import sqlite3
from pathlib import Path
from typing import Any

BEGIN = "<!-- written by make bench-ingest; words before and after stay -->"
END = "<!-- end of what make bench-ingest writes -->"
_LIBRARIES = ("msgspec", "sqlalchemy", "psycopg", "kafka-python", "uvicorn", "uvloop", "httptools")


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def render(document: dict[str, Any]) -> str:
    """The measured part of the page, as Markdown."""
    where = document["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in where["libraries"].items())
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}), {where['system']}, Python {where['python']}, "
        f"SQLite {where['sqlite']}, {libraries}. {document['events']:,} events a run, median of {document['runs']} "
        "(range).",
    ]
    for rows, figures in document["sizes"].items():
        lines += ["", f"### {int(rows):,} events in the store before", "", *_table(figures), "", _bare(figures)]
        delay = figures["label_delay_seconds"]
        lines += [
            "",
            f"Event to provisional label at half load: {1000 * delay['p50']:.0f} ms median, "
            f"{1000 * delay['p99']:.0f} ms at the 99th percentile ({delay['probes']} probes).",
        ]
    return "\n".join(lines)


def _table(figures: dict[str, Any]) -> list[str]:
    lines = [
        "| | events a core-second | of the bare limit | API, us an event | consumer, us an event | events a second |",
        "|---|---|---|---|---|---|",
    ]
    for name, figure in figures.items():
        if name in ("bare", "label_delay_seconds"):
            continue
        cells = [
            _cell(figure["events_per_core_second"], ",.0f"),
            _cell(figure["of_bare_limit"], ".0%"),
            _cell(figure["api_microseconds"], ".1f"),
            _cell(figure["consumer_microseconds"], ".1f"),
            _cell(figure["events_per_second"], ",.0f"),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _bare(figures: dict[str, Any]) -> str:
    bare = figures["bare"]
    return (
        f"The bare limit: {_cell(bare['events_per_core_second'], ',.0f')} events a core-second: decode "
        f"{_cell(bare['decode'], '.2f')}, write to the ledger {_cell(bare['write'], '.2f')}, write to the log "
        f"{_cell(bare['log'], '.2f')} us an event. The labels of these events, written bare, cost "
        f"{_cell(bare['labels'], '.2f')} us an event more; of the limit with them the first row is "
        f"{_cell(bare['reached_with_labels'], '.0%')}."
    )


def _cell(spread: dict[str, float], form: str) -> str:
    return f"{spread['median']:{form}} ({spread['least']:{form}} to {spread['greatest']:{form}})"


def write_page(path: Path, measured: str) -> None:
    """Put `measured` between the marks; a page that is not there begins with a title."""
    page = path.read_text(encoding="utf-8") if path.exists() else f"# Ingest: how fast\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}", encoding="utf-8")
