"""The demo over three seeds named beforehand: does the new adapter win people over on prompts it never saw?

    python -m tests.benchmarks.bench_demo_seeds [--seeds 11 12 13] [--steps 14] [--folder plaudit-data/seeds]

Runs `plaudit demo` once a seed, one after another on an otherwise idle machine, and prints a line each from the
reports, refusals and misses included. With `--only-report` it prints what earlier runs left behind. The seeds and the
margin for relevance (`plaudit.demo.evaluation.RELEVANCE_MARGIN`) are fixed before any run.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from plaudit.demo.evaluation import RELEVANCE_MARGIN
from plaudit.demo.options import DemoOptions
from plaudit.demo.report import machine

SEEDS = (11, 12, 13)
"""Named on 2026-11-21, before any run with them. (The profile was tuned on seeds 1 and 2.)"""


def main() -> int:
    """Exit 0 when at least two seeds out of three hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--folder", type=Path, default=Path("plaudit-data/seeds"))
    parser.add_argument("--steps", type=int, default=DemoOptions().steps, help="training steps of the adapter")
    parser.add_argument("--only-report", action="store_true")
    given = parser.parse_args()
    table = Table(title=f"plaudit demo, {machine()}; relevance margin {RELEVANCE_MARGIN}")
    for column in (
        "seed",
        "exit",
        "outcome",
        "love base",
        "love adapter",
        "difference, 95 %",
        "relevance, 95 %",
        "min",
        "GiB",
    ):
        table.add_column(column)
    held = 0
    for seed in given.seeds:
        folder = given.folder / str(seed)
        code = "" if given.only_report else str(run(seed, given.steps, folder))
        report = folder / "report" / "report.json"
        if not report.exists():
            table.add_row(str(seed), code, "no report: it failed before its end")
            continue
        document = json.loads(report.read_text())
        table.add_row(str(seed), code, *row(document))
        held += holds(document)
    console = Console(width=160)
    console.print(table)
    console.print(f"{held} of {len(given.seeds)} seeds: love interval above zero and relevance within the margin")
    return 0 if held >= 2 else 1


def run(seed: int, steps: int, folder: Path) -> int:
    """One demo; its exit code."""
    command = [sys.executable, "-m", "plaudit", "demo", "--seed", str(seed), "--steps", str(steps)]
    command += ["--folder", str(folder)]
    return subprocess.run(command, check=False).returncode


def holds(document: dict[str, Any]) -> bool:
    """Love's interval above zero, relevance's above minus the margin."""
    found = document["story"]["evaluation"]
    return found is not None and found["love"]["low"] > 0 and found["relevance"]["low"] > -RELEVANCE_MARGIN


def row(document: dict[str, Any]) -> list[str]:
    """The cells of one seed."""
    found = document["story"]["evaluation"]
    figures = ["", "", "not reached", ""]
    if found is not None:
        love, relevance = found["love"], found["relevance"]
        figures = [
            f"{found['love_base']:.3f}",
            f"{found['love_adapter']:.3f}",
            f"{love['mean']:+.3f} [{love['low']:+.3f}, {love['high']:+.3f}]",
            f"{relevance['mean']:+.3f} [{relevance['low']:+.3f}, {relevance['high']:+.3f}]",
        ]
    minutes, memory = f"{document['seconds'] / 60:.1f}", f"{document['peak_bytes'] / 2**30:.1f}"
    return [document["story"]["outcome"], *figures, minutes, memory]


if __name__ == "__main__":
    sys.exit(main())
