"""The page docs/benchmarks/experiments.md from the figures of `bench_experiments`."""

import json
import platform
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from tests.benchmarks.experiments_grid import EFFECTS, MOST_PEOPLE, MOST_PEOPLE_SMALL, RAMPS, WORSE
from tests.benchmarks.experiments_rivals import CASES as RIVALS
from tests.benchmarks.experiments_stream import EVERY, FIXED, NULLS, PEOPLE, POSITIONS, PROCEDURES, YEAR
from tests.benchmarks.experiments_verdicts import above, verdicts

Figures = dict[str, Any]
MOST_TOLD = 20
"""Cells above their bound that are named."""

HEAD = """# Experiments, measured

Error rates, power and speed of the tests that promote and roll back. Made by

    FULL=1 make bench-ab

on {machine};
written {date}; {minutes:.0f} minutes of one core in all. All numbers of this page are in `experiments.json`; how ours
agree with those of other libraries stands in [experiments-oracles.md](experiments-oracles.md).

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
    parts = [head, *asked(kept), *grid(kept.get("grid", {}), kept.get("confirmed", {})), *speed(kept.get("speed", {}))]
    parts += [*usual(kept.get("usual", {})), *rivals(kept.get("rivals", {}))]
    parts += [*stream(kept.get("stream", {})), *attacks(kept.get("attacks", {}))]
    page.write_text("\n".join(parts) + "\n")


def asked(kept: Figures) -> list[str]:
    """What was asked for, and whether it holds."""
    told = {True: "met", False: "**missed**", None: "not measured"}
    rows = [f"| {each.what} | {each.asked} | {each.measured} | {told[each.met]} |" for each in verdicts(kept)]
    return ["## Asked and measured", "", "| what | asked | measured | |", "|---|---|---|---|", *rows, ""]


def paragraph(text: str) -> list[str]:
    """Lines of a paragraph."""
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def grid(found: Figures, confirmed: Figures) -> list[str]:
    """Worst cell of every ramp, truth and test, and the cells above 5 %."""
    lines = [
        "## False decisions",
        "",
        *paragraph(
            f"Cells: rate {', '.join(f'{rate:g}' for rate in EFFECTS)} x ramp x people (binary, ratio of answers, "
            "heavy-tailed and capped, 10 answers a person). `equal`: no difference, `rollback` counts false rollbacks "
            f"there; `worse`: the challenger lacks {WORSE:.0%}; `margin`: non-inferiority with the truth on the "
            "margin. In the first four ramps everybody without the challenger is control; the product has equal arms. "
            "An experiment ends at twice the fixed-sample size of its designed effect, at most "
            f"{MOST_PEOPLE:,} counted people, {MOST_PEOPLE_SMALL:,} at 1 and 5 %, where few have the challenger and "
            "there are few chances to err. Given are the worst cell's rate and the upper end of its one-sided 95 % "
            "interval."
        ),
        "",
        "| truth | test | " + " | ".join(RAMPS) + " |",
        "|---|---|" + "---|" * len(RAMPS),
    ]
    rows: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    runs, cells = 0, 0
    for name, tests in found.items():
        _rate, ramp, _kind, truth = name.split(" | ")
        cells += 1
        for test, figures in tests.items():
            if test == "people":
                continue
            runs = max(runs, figures["runs"])
            row = rows.setdefault((truth, test), {})
            row[ramp] = max(row.get(ramp, (0.0, 0.0)), (figures["upper"], figures["rate"]))
    for (truth, test), row in sorted(rows.items()):
        told = (f"{row[ramp][1]:.2%}, at most {row[ramp][0]:.2%}" if ramp in row else "-" for ramp in RAMPS)
        lines.append(f"| {truth} | {test} | " + " | ".join(told) + " |")
    exceeding = [_exceeding(found, confirmed, key) for key in above(found)]
    verdict = "No upper end is above 5 %." if not exceeding else "Above 5 %:"
    return [
        *lines,
        "",
        f"{cells} of 180 cells measured, {runs:,} runs each. {verdict}",
        *(f"- {each}" for each in exceeding[:MOST_TOLD]),
        *([f"- and {len(exceeding) - MOST_TOLD} more"] if len(exceeding) > MOST_TOLD else []),
    ]


def _exceeding(found: Figures, confirmed: Figures, key: str) -> str:
    """One cell and test whose upper end is above 5 %, and what other histories said of it."""
    name, test = key.rsplit(" | ", 1)
    said = f"{key}: {found[name][test]['rate']:.2%}, at most {found[name][test]['upper']:.2%}"
    again = confirmed.get(key)
    if again is None:
        return said
    return f"{said}; in {again['runs']:,} other runs (`--confirm`) {again['rate']:.2%}, at most {again['upper']:.2%}"


def speed(found: Figures) -> list[str]:
    """Stops in units of N."""
    lines = [
        "",
        "## People to a decision",
        "",
        *paragraph(
            "N: people of the fixed-sample one-sided test at 5 % with power 80 % and the same adjustment. Runs capped "
            "at 2 N count as 2 N. Where N is small, the mean, the variance and the covariate's slope cost more to "
            "learn than where it is large; the fixed-sample size takes them for known."
        ),
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
        *paragraph(
            "A drop from .95 to .90 at a ramp of 5 %; equal arms count a tenth of all people. `betting` knows the "
            "champion's rate, which the product takes from what was seen before an experiment "
            "(`ab_testing.planning.with_expected_rates`, from 200 people on) where no setting says it; the other lines "
            "say what is lost without it, and where people without a value are left out (`two-arm`):"
        ),
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


def rivals(found: Figures) -> list[str]:
    """Methods that hold at several looks or at every one, and Pearson's sample-ratio test, beside ours."""
    speed, ratio = found.get(RIVALS[0], {}), found.get(RIVALS[1], {})
    if not speed or not ratio:
        return []
    rows = []
    for method, f in speed.items():
        false = f"{f['false']:.1%}, at most {f['false_upper']:.1%}"
        rows.append(f"| {method} | {false} | {f['mean']:.3f} +- {f['error']:.3f} | {f['power']:.1%} |")
    runs = next(iter(ratio.values()))["runs"]
    told = "; ".join(f"{test} {f['alarms']:.2%}, at most {f['upper']:.2%}" for test, f in ratio.items())
    return [
        "",
        *paragraph(
            "Methods that allow several looks, or any, beside the one that decides, binary .10 -> .12, N as above; "
            "who has not decided by 2 N (or the last planned look) stops there; false winners without an effect. Group "
            "sequential: planned looks, error spent as t^2 (Lan and DeMets); where the size of the effect is known and "
            "nobody looks in between it is the fastest, but an unplanned look is not covered, nor is a growing ramp. "
            "The two-sample mixture (mSPRT) excludes zero on either side, tuned at N; the stitched boundary is "
            "one-sided, from N / 10 on; both are asymptotic here, a look every 20 people:"
        ),
        "",
        "| method | false winners | mean stop / N | power |",
        "|---|---|---|---|",
        *rows,
        "",
        *paragraph(
            f"Pearson's chi-square as a sample-ratio test, looked at every 100 of 100,000 people who land as they "
            f"should ({runs:,} runs), alarms in: {told}."
        ),
    ]


def stream(found: Figures) -> list[str]:
    """A year of challengers."""
    lines = [
        "",
        "## A year of challengers",
        "",
        *paragraph(
            f"{YEAR} challengers one after the other, false discovery rate held at 10 %. Spending: `standard` over "
            f"infinitely many, `even` over {YEAR}, `power` over {YEAR} falling as 1 / sqrt(t). A year without any real "
            "challenger, looks after every person (importance sampling; e-LOND, and e-LORD and the closed one as long "
            "as they have discovered nothing):"
        ),
        "",
        *(f"- {name.split()[2]}: {f['false_discovery_rate']:.2%}, at most {f['upper']:.2%}" for name, f in found.items()
          if name in NULLS),
        "",
        *paragraph(
            f"Simulated years, looks after every {EVERY} people. Power: of a truly better challenger (the designed "
            f"effect, N = {FIXED:,}) at that position, by 2 N and by {PEOPLE // FIXED} N people; median people in "
            "units of N where half of them are found."
        ),
        "",
        "| challengers | procedure | false discovery rate | found a year | "
        + " | ".join(f"at {position}: 2 N, {PEOPLE // FIXED} N, median" for position in POSITIONS)
        + " |",
        "|---|---|---|---|" + "---|" * len(POSITIONS),
    ]  # fmt: skip
    for name, procedures in found.items():
        if name in NULLS:
            continue
        for procedure in PROCEDURES:
            lines.append(f"| {name} | {procedure} | {_year(procedures[procedure])} |")
    return lines


def _year(f: Figures) -> str:
    """Cells of one row."""
    cells = [f"{f['false_discovery_rate']:.1%} +- {f['standard_error']:.1%}", f"{f['discoveries']:.1f}"]
    for position in POSITIONS:
        median = f[f"median_people_{position}"]
        told = f"{median / f['fixed']:.2f} N" if median > 0 else "never"
        cells.append(f"{f[f'power_{position}_by_2n']:.0%}, {f[f'power_{position}']:.0%}, {told}")
    return " | ".join(cells)


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
            f"- Sample ratio: {s['alarms']:.2%} alarms (at most {s['upper']:.2%}) over 100,000 people ({s['runs']:,} "
            f"runs), 48/52 found by a median of {s['median_people_48_52']:,.0f}."
        )
    return lines
