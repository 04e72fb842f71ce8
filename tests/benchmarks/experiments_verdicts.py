"""Every bound that was asked for, what was measured, and whether it holds; a bound without figures is not met."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.experiments_grid import RAMPS, TRUTHS

Figures = dict[str, Any]

ASKED_CELLS = 48
"""Rates x the first four ramps x kinds of people, for every truth; those of the fifth, 12 more, have to hold too."""
PROMOTES = ("betting", "two-arm", "asymptotic")
ROLLS_BACK = ("rollback", "rollback, two-arm")
EXACT = "binary .10 -> .12"
ADJUSTED = (
    "binary .10 -> .12, covariate r = .5",
    "bounded .50 -> .51, covariate r = .5",
    "unbounded +.01 sd .1, covariate r = .5",
    "unbounded +.02 sd .1, covariate r = .5",
)


@dataclass(frozen=True)
class Verdict:
    """`asked` and `measured` are told; `met` None: not measured."""

    what: str
    asked: str
    measured: str
    met: bool | None


def verdicts(kept: Figures) -> list[Verdict]:
    """All of them, in order."""
    return [
        *_grid(kept.get("grid", {}), kept.get("confirmed", {})),
        *_usual(kept.get("usual", {})),
        *_stream(kept.get("stream", {})),
        *_speed(kept.get("speed", {})),
        *_attacks(kept.get("attacks", {})),
    ]


def _missing(what: str, asked: str) -> Verdict:
    return Verdict(what, asked, "not measured", None)


def key_of(cell: str, test: str) -> str:
    """Under which a test of a cell is kept when it was measured anew."""
    return f"{cell} | {test}"


def above(grid: Figures) -> list[str]:
    """Cells with the test whose upper bound is over 5 %: with 10,000 runs a rate from 4.6 % on is, half of the time."""
    return [
        key_of(name, test)
        for name, tests in grid.items()
        for test, figures in tests.items()
        if test != "people" and figures["upper"] > 0.05
    ]


def _worst(found: Figures, confirmed: Figures, truth: str, tests: tuple[str, ...]) -> tuple[int, float, float, str]:
    """Cells measured, and the rate, upper bound and name of the worst; what was measured anew counts as it was then."""
    cells, worst = 0, (0.0, 0.0, "none")
    for name, figures in found.items():
        if name.split(" | ")[3] != truth:
            continue
        cells += name.split(" | ")[1] in RAMPS[:4]
        for test in tests:
            if test in figures:
                counts = confirmed.get(key_of(name, test), figures[test])
                worst = max(worst, (counts["upper"], counts["rate"], f"{name}, {test}"))
    return cells, worst[1], worst[0], worst[2]


def _grid(found: Figures, confirmed: Figures) -> Iterator[Verdict]:
    told = {
        "equal": "false promotions, challenger equal",
        "worse": "false promotions, challenger worse",
        "margin": "false passes, truth on the margin of non-inferiority",
    }
    for truth, tests in [*((truth, PROMOTES) for truth in TRUTHS), ("equal", ROLLS_BACK)]:
        what = "false rollbacks, challenger equal" if tests is ROLLS_BACK else told[truth]
        asked = f"upper 95 % bound at most 5 % in all {ASKED_CELLS} cells, and in 12 with equal arms"
        cells, rate, upper, name = _worst(found, confirmed, truth, tests)
        if cells < ASKED_CELLS:
            yield Verdict(what, asked, f"{cells} of {ASKED_CELLS} cells, worst {upper:.2%}", None)
        else:
            yield Verdict(what, asked, f"worst {rate:.2%}, at most {upper:.2%} ({name})", upper <= 0.05)


def _usual(found: Figures) -> Iterator[Verdict]:
    what, asked = "the usual methods beside it", "their failures are measured"
    if not found:
        yield _missing(what, asked)
    else:
        rates = ", ".join(f"{figures['usual']:.0%}" for figures in found.values())
        yield Verdict(what, asked, f"false winners {rates}", all(f["usual"] > 0.05 for f in found.values()))


def _stream(found: Figures) -> Iterator[Verdict]:
    what, asked = "365 equal challengers a year", "false discovery rate at most 10 %"
    nulls = {name: figures for name, figures in found.items() if "upper" in figures}
    if not nulls:
        yield _missing(what, asked)
    for name, figures in nulls.items():
        measured = f"{figures['false_discovery_rate']:.1%}, at most {figures['upper']:.1%}"
        yield Verdict(f"{what}, {name.split()[2]} spending", asked, measured, figures["upper"] <= 0.10)
    # Fifty simulated years without any real one say less than the line above, which is 10,000 runs of the same.
    mixed = [
        f for name, procedures in found.items() if name not in nulls and name[:2] != "0%" for f in procedures.values()
    ]
    if mixed:
        worst = max(mixed, key=lambda f: f["false_discovery_rate"])
        rate, upper = worst["false_discovery_rate"], worst["false_discovery_rate"] + 1.645 * worst["standard_error"]
        measured = f"worst {rate:.1%}, at most {upper:.1%}"
        yield Verdict("years with 5, 20 % real challengers", asked, measured, upper <= 0.10)


def _speed(found: Figures) -> Iterator[Verdict]:
    for case in ADJUSTED:
        for test, f in found.get(case, {}).items():
            measured = f"{f['mean']:.3f} N, power {f['power']:.1%}"
            asked = "mean stop at most .95 N, power at least 80 % by 2 N"
            yield Verdict(f"{case}: {test}", asked, measured, f["mean"] <= 0.95 and f["power"] >= 0.8)
            if "false_alarms" in f:
                measured, upper = (
                    f"{f['false_alarms']:.2%}, at most {f['false_alarms_upper']:.2%}",
                    f["false_alarms_upper"],
                )
                yield Verdict(f"{case}: {test}, no effect", "false alarms at most 5 % by 2 N", measured, upper <= 0.05)
        if case not in found:
            yield _missing(case, "mean stop at most .95 N")
    asked = "mean stop at most 1.15 N, power at least 80 % by 2 N"
    for test, f in found.get(EXACT, {"exact": None}).items():
        if f is None:
            yield _missing(EXACT, asked)
        elif test != "asymptotic":
            measured = f"{f['mean']:.3f} N, power {f['power']:.1%}"
            yield Verdict(f"{EXACT}: {test}", asked, measured, f["mean"] <= 1.15 and f["power"] >= 0.8)
    asked = "median of at most 5,800 people"
    dropped = found.get(".95 -> .90 at 5 %")
    if dropped is None:
        yield _missing(".95 -> .90 at a ramp of 5 %", asked)
    for test, f in (dropped or {}).items():
        median = f["median_people"]
        yield Verdict(f".95 -> .90 at a ramp of 5 %: {test}", asked, f"{median:,.0f}", median <= 5800)


def _attacks(found: Figures) -> Iterator[Verdict]:
    what, asked = "20 of 4,000 people with 200 votes each", "promotions change by less than one point"
    b, s = found.get("brigading"), found.get("sample ratio")
    if b is None:
        yield _missing(what, asked)
    else:
        change = b["per_person"] - b["per_person_without"]
        yield Verdict(what, asked, f"{100 * change:+.2f} points (per vote: {b['per_vote']:.0%})", abs(change) < 0.01)
    if s is None:
        yield _missing("sample ratio", "at most 1 % alarms over 100,000 people, 48/52 by a median of 7,500")
    else:
        measured = f"{s['alarms']:.2%}, at most {s['upper']:.2%}"
        yield Verdict("sample-ratio alarms over 100,000 people", "at most 1 %", measured, s["alarms"] <= 0.01)
        median = s["median_people_48_52"]
        yield Verdict("48/52 found", "median of at most 7,500 people", f"{median:,.0f}", median <= 7500)
