"""`make bench-ab`: error rates, power and speed of the experiments' tests; writes docs/benchmarks/experiments.md.

    python -m tests.benchmarks.bench_experiments [--full] [--runs N] [--workers N] [--resume] [--only PART] [--page]
    python -m tests.benchmarks.bench_experiments --full --again asymptotic

Without `--full` a reduced grid with 500 runs a cell, printed but not written. Parts: grid, speed, usual, rivals,
stream, attacks. Every cell is kept in `build/experiments.json` as soon as it is measured: `--resume` goes on from
there, `--page` only writes the page, `--again` measures one test anew wherever it is kept, on the same histories, and
leaves the figures of the others. Ends with a verdict on every bound that was asked for.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.benchmarks import (
    experiments_attacks,
    experiments_grid,
    experiments_rivals,
    experiments_speed,
    experiments_stream,
)
from tests.benchmarks import experiments_usual as usual
from tests.benchmarks.experiments_report import write
from tests.benchmarks.experiments_verdicts import above, verdicts

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "experiments.json"
PAGE = ROOT / "docs" / "benchmarks" / "experiments.md"

Task = tuple[str, str, Callable[..., Any], tuple[Any, ...]]
"""Part, name, function of module level, arguments."""


def tasks(full: bool, runs: int) -> list[Task]:
    """Everything to measure, the grid, which takes longest, at the end."""
    found: list[Task] = [("speed", name, experiments_speed.measure, (name, runs)) for name in experiments_speed.CASES]
    found += [("attacks", name, experiments_attacks.measure, (name, runs)) for name in experiments_attacks.CASES]
    found += [("usual", name, usual.measure, (name, max(runs // 5, 200))) for name in usual.CASES]
    found += [("rivals", name, experiments_rivals.measure, (name, runs)) for name in experiments_rivals.CASES]
    found += [("stream", name, experiments_stream.measure, (name, runs)) for name in experiments_stream.CASES]
    found += [("grid", cell.name, experiments_grid.measure, (cell, runs)) for cell in experiments_grid.cells(full)]
    return found


def tasks_again(test: str, full: bool, runs: int, kept: dict[str, Any]) -> list[Task]:
    """What is kept of one test, to be measured anew: in the grid, in the cases of speed, and, as it has another name
    there, beside the usual methods as a whole."""

    def known(part: str, name: str) -> bool:
        return test in kept.get(part, {}).get(name, {})

    found: list[Task] = [
        ("speed", name, experiments_speed.measure, (name, runs, test))
        for name in experiments_speed.CASES
        if known("speed", name)
    ]
    found += [
        ("usual", name, usual.measure, (name, max(runs // 5, 200)))
        for name in usual.CASES
        if test == "asymptotic" and name in kept.get("usual", {})
    ]
    found += [
        ("grid", cell.name, experiments_grid.measure, (cell, runs, test))
        for cell in experiments_grid.cells(full)
        if known("grid", cell.name)
    ]
    return found


def tasks_confirming(full: bool, kept: dict[str, Any]) -> list[Task]:
    """Every test whose upper bound is above 5 % in a cell, once, with four times the runs and seeds of their own."""
    cells = {cell.name: cell for cell in experiments_grid.cells(full)}
    found: list[Task] = []
    for key in above(kept.get("grid", {})):
        name, test = key.rsplit(" | ", 1)
        if key not in kept.get("confirmed", {}):
            found.append(("confirmed", key, experiments_grid.confirm, (cells[name], 40_000, test)))
    return found


def perform(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    """One task and the processor seconds it took."""
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def main() -> None:
    """Measure, keep, and with `--full` write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--page", action="store_true", help="only write the page from what was kept")
    parser.add_argument("--again", default="", metavar="TEST", help="measure this test anew wherever it is kept")
    parser.add_argument("--confirm", action="store_true", help="measure what is above 5 % on 40,000 other histories")
    options = parser.parse_args()
    console = Console()
    goes_on = options.resume or options.page or options.confirm or bool(options.again)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if goes_on and KEPT.exists() else {}
    runs = options.runs or (10_000 if options.full else 500)
    if options.confirm:
        todo = tasks_confirming(options.full, kept)
    elif options.again:
        todo = tasks_again(options.again, options.full, runs, kept)
    else:
        todo = [] if options.page else tasks(options.full, runs)
        todo = [task for task in todo if task[1] not in kept.get(task[0], {})]
    todo = [task for task in todo if options.only in ("", task[0])]
    KEPT.parent.mkdir(exist_ok=True)
    if not goes_on:
        KEPT.unlink(missing_ok=True)
    run(todo, kept, options.workers, console)
    if options.full or options.page:
        write(PAGE, kept)
    console.print(asked(kept))


def run(todo: list[Task], kept: dict[str, Any], workers: int, console: Console) -> None:
    """Measure `todo` and add it to `kept`, on the disk too after every task."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(workers, get_context("spawn")) as pool,
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
    ):
        bar = progress.add_task("measuring", total=len(todo))
        waiting = {pool.submit(perform, function, arguments): (part, name) for part, name, function, arguments in todo}
        for done in as_completed(waiting):
            part, name = waiting[done]
            figures, seconds = done.result()
            kept.setdefault(part, {})[name] = kept.get(part, {}).get(name, {}) | figures
            kept["cpu_seconds"] = kept.get("cpu_seconds", 0.0) + seconds
            console.print(f"{part}: {name}: {json.dumps(figures)} ({seconds:.1f} s)", highlight=False, soft_wrap=True)
            KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True))
            progress.update(bar, advance=1, description=part)


def asked(kept: dict[str, Any]) -> Table:
    """Bounds, figures and verdicts."""
    table = Table("what", "asked", "measured", "verdict", title="Asked and measured")
    told = {True: "[green]met[/green]", False: "[red]missed[/red]", None: "[yellow]not measured[/yellow]"}
    for each in verdicts(kept):
        table.add_row(each.what, each.asked, each.measured, told[each.met])
    return table


if __name__ == "__main__":
    main()
