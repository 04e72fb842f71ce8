"""The page docs/benchmarks/experiments.md from the figures of `bench_experiments`."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from tests.benchmarks.experiments_grid import EFFECTS, MOST_PEOPLE, RAMPS, WORSE
from tests.benchmarks.experiments_stream import POSITIONS, PROCEDURES, YEAR

Figures = dict[str, Any]

HEAD = """# Experiments, measured

Error rates, power and speed of the tests that promote and roll back. Made by

    FULL=1 make bench-ab

on {machine}; {date}; {minutes:.0f} minutes of one core. All numbers of this page are in `experiments.json`.

The simulator runs the functions that decide in production, with an axis of runs in front;
`tests/ab_testing/test_simulation.py` holds the two equal on 1,000 histories. Boundary 20 (one-sided level 5 %), a look
after every person (after every block for the two-arm test).
"""


def write(page: Path, kept: Figures) -> None:
    """Write the page and its figures."""
    page.with_suffix(".json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    machine = f"2 cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
    head = HEAD.format(
        machine=machine + f"scipy {scipy.__version__}",
        date=datetime.now(UTC).date().isoformat(),
        minutes=kept.get("cpu_seconds", 0.0) / 60,
    )
    parts = [head, *grid(kept.get("grid", {})), *speed(kept.get("speed", {})), *usual(kept.get("usual", {}))]
    page.write_text("\n".join([*parts, *stream(kept.get("stream", {})), *attacks(kept.get("attacks", {}))]) + "\n")


def grid(found: Figures) -> list[str]:
    """Worst cell of every ramp, truth and test, and the cells above 5 %."""
    lines = [
        "## False decisions",
        "",
        f"Cells: rate {', '.join(f'{rate:g}' for rate in EFFECTS)} x ramp x people (binary, ratio of answers, "
        "heavy-tailed and capped, 10 answers a",
        "person). `equal`: no difference, `rollback` counts false rollbacks there; `worse`: the challenger lacks "
        f"{WORSE:.0%}; `margin`:",
        "non-inferiority with the truth on the margin. In the first four ramps everybody without the challenger is "
        "control;",
        "the product's arms are equal. An experiment ends at twice the fixed-sample size of its designed effect with "
        f"equal arms, at most {MOST_PEOPLE:,}",
        "counted people: the small ramps have few people in the challenger and few chances to err. Given are the worst "
        "cell's rate",
        "and the upper end of its one-sided 95 % interval.",
        "",
        "| truth | test | " + " | ".join(RAMPS) + " |",
        "|---|---|" + "---|" * len(RAMPS),
    ]
    rows: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    above, runs, cells = [], 0, 0
    for name, tests in found.items():
        _rate, ramp, _kind, truth = name.split(" | ")
        cells += 1
        for test, figures in tests.items():
            if test == "people":
                continue
            runs = max(runs, figures["runs"])
            row = rows.setdefault((truth, test), {})
            row[ramp] = max(row.get(ramp, (0.0, 0.0)), (figures["upper"], figures["rate"]))
            if figures["upper"] > 0.05:
                above.append(f"{name}, {test}: {figures['rate']:.2%}, at most {figures['upper']:.2%}")
    for (truth, test), row in sorted(rows.items()):
        told = (f"{row[ramp][1]:.2%}, at most {row[ramp][0]:.2%}" if ramp in row else "-" for ramp in RAMPS)
        lines.append(f"| {truth} | {test} | " + " | ".join(told) + " |")
    verdict = "No cell is above 5 %." if not above else "Above 5 %:"
    return [
        *lines,
        "",
        f"{cells} of 180 cells measured, {runs:,} runs each. {verdict}",
        *(f"- {each}" for each in above),
    ]


def speed(found: Figures) -> list[str]:
    """Stops in units of N."""
    lines = [
        "",
        "## People to a decision",
        "",
        "N: people of the fixed-sample one-sided test at 5 % with power 80 % and the same adjustment. Runs capped at "
        "2 N count as 2 N.",
        "",
        "| case | test | N | mean stop / N | median / N | power by 2 N |",
        "|---|---|---|---|---|---|",
    ]
    drop = []
    for case, tests in found.items():
        for test, f in tests.items():
            if "median_people" in f:
                drop.append(
                    f"- {test}: median {f['median_people']:,.0f} people of all traffic, found in {f['found']:.0%}"
                )
            else:
                told = f"{f['mean']:.3f} +- {f['error']:.3f} | {f['median']:.3f} | {f['power']:.1%}"
                lines.append(f"| {case} | {test} | {f['fixed']:,.0f} | {told} |")
    return [
        *lines,
        "",
        "A drop from .95 to .90 at a ramp of 5 %; equal arms count a tenth of all people; betting knows the champion's "
        "rate:",
        "",
        *drop,
    ]


def usual(found: Figures) -> list[str]:
    """False winners of the usual methods."""
    lines = [
        "",
        "## What the usual methods do",
        "",
        "No challenger differs here; share of runs with a false winner, 12,000 people (1,200 with 10 answers each):",
        "",
        "| method | usual | exact betting | asymptotic, gated |",
        "|---|---|---|---|",
    ]
    for name, f in found.items():
        lines.append(f"| {name} | {f['usual']:.1%} | {f['exact betting']:.1%} | {f['asymptotic, gated']:.1%} |")
    return lines


def stream(found: Figures) -> list[str]:
    """A year of challengers."""
    lines = [
        "",
        "## A year of challengers",
        "",
        f"{YEAR} challengers one after the other, false discovery rate held at 10 %. Power: of a truly better "
        "challenger (the designed",
        "effect) at that position, by 2 N and by 8 N people; median people in units of N where half of them are found.",
        "",
        "| challengers | procedure | false discovery rate | found a year | "
        + " | ".join(f"at {position}: 2 N, 8 N, median" for position in POSITIONS)
        + " |",
        "|---|---|---|---|" + "---|" * len(POSITIONS),
    ]
    for name, procedures in found.items():
        for procedure in PROCEDURES:
            f = procedures[procedure]
            cells = []
            for position in POSITIONS:
                median = f[f"median_people_{position}"]
                told = f"{median / f['fixed']:.2f} N" if median > 0 else "never"
                cells.append(f"{f[f'power_{position}_by_2n']:.0%}, {f[f'power_{position}']:.0%}, {told}")
            rate = f"{f['false_discovery_rate']:.1%} +- {f['standard_error']:.1%}"
            lines.append(f"| {name} | {procedure} | {rate} | {f['discoveries']:.1f} | " + " | ".join(cells) + " |")
    return lines


def attacks(found: Figures) -> list[str]:
    """Brigading and sample ratio."""
    if not found:
        return []
    b, s = found.get("brigading", {}), found.get("sample ratio", {})
    lines = ["", "## Brigading and sample ratio", ""]
    if b:
        lines += [
            "- 20 of 4,000 people who like 200 answers each: promotions of a null challenger "
            f"{b['per_person']:.2%} against {b['per_person_without']:.2%} without them, counted per person; "
            f"{b['per_vote']:.0%} counted per vote.",
            f"- The same 20 liking the challenger's answers only: {b['per_person_partisan']:.2%}; "
            f"{b['per_person_partisan_less_most_active']:.2%} without the 20 most active people.",
        ]
    if s:
        lines.append(
            f"- Sample ratio: {s['alarms']:.2%} alarms over 100,000 people ({s['runs']} runs), 48/52 found by a median "
            f"of {s['median_people_48_52']:,.0f}."
        )
    return lines
