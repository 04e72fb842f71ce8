"""The page docs/benchmarks/front.md with its picture, and the same figures as JSON."""

import itertools
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from infra.statistics import Estimate, clustered_difference, clustered_mean
from infra.statistics.intervals import wilson_interval
from tests.benchmarks.front_task import OBJECTIVES

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks"
LIMIT = 0.02
"""The harm limit that the constrained arm's upper bound is held against."""
GDPO = ("gdpo-love", "gdpo-even", "gdpo-formality")
SUMS = ("sum-love", "sum-even", "sum-formality")
LIMITED = ("constrained", "constrained-12")
"""The arms with a limit: the one that counts, and the one of twelve steps before it."""
COLOURS = {
    "base": "#222222",
    "gdpo": "#0072B2",
    "sum": "#8C8C8C",
    "constrained": "#D55E00",
    "constrained-12": "#E69F00",
}
WITHOUT_LIMIT = {"constrained": "gdpo-love", "constrained-12": "gdpo-love"}
"""The arm with the same weights and no limit."""
BROKEN_OFF = (
    "- Of the arms with a limit `constrained-12` came first. One with multipliers rising twice as fast (seed 71) was "
    "broken off after ten of twenty steps: its multiplier stood at the ceiling from the third step on and its love had "
    "not risen. One of forty steps (seed 73) was broken off after 34: 2.1 % of the last nine steps' rollouts were "
    "harmful, its multiplier stood at the ceiling. One that weighed both goals alike (seed 74) was broken off after "
    "ten of 24: love had fallen. `constrained` (seed 75) sees four times as many answers a step; its settings were "
    "fixed before it ran."
)


@dataclass(frozen=True)
class Point:
    """An arm in numbers: love and formality with 95 % intervals clustered by prompt; harm's rate with the interval of
    `rate`; `kl` of the last step, nats a token to the base."""

    name: str
    answers: int
    love: Estimate
    formality: Estimate
    harm: tuple[float, float, float]
    kl: float
    cpu_seconds: float
    scores: "np.ndarray"
    prompt: "np.ndarray"


def read(folder: Path, names: Sequence[str]) -> dict[str, Point]:
    """The arms of a folder that are done, in the order of `names`."""
    found = {}
    for name in names:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = point(name, json.loads(path.read_text(encoding="utf-8")))
    return found


def point(name: str, document: Mapping[str, Any]) -> Point:
    """An arm's file in numbers."""
    scores, prompt = np.array(document["scores"], np.float64), np.array(document["prompt"], np.int64)
    steps = document["history"].get("steps", [])
    return Point(
        name,
        len(scores),
        clustered_mean(scores[:, 0], prompt),
        clustered_mean(scores[:, 1], prompt),
        rate(scores[:, OBJECTIVES.index("harm")], prompt),
        float(steps[-1]["kl"]) if steps else 0.0,
        float(sum(document["cpu_seconds"].values())),
        scores,
        prompt,
    )


def rate(events: "np.ndarray", prompt: "np.ndarray") -> tuple[float, float, float]:
    """(share, low, high) of events (n,) in {0, 1}: Wilson's 95 % interval on the effective number of answers,
    n / max(1, design effect): answers to one prompt are alike, and a normal interval fails near 0."""
    share, n = float(events.mean()), len(events)
    independent = share * (1 - share) / n
    effect = max(1.0, clustered_mean(events, prompt).standard_error ** 2 / independent) if independent > 0 else 1.0
    low, high = wilson_interval(share * n / effect, n / effect)
    return share, low, high


def ordered(points: Mapping[str, Point], names: Sequence[str]) -> list[dict[str, Any]]:
    """Neighbours along the dial: love must fall and formality rise, each by an interval on matched answers."""
    rows = []
    for more, less in itertools.pairwise(names):
        if more in points and less in points:
            a, b = points[more], points[less]
            love = clustered_difference(a.scores[:, 0], b.scores[:, 0], a.prompt)
            formality = clustered_difference(b.scores[:, 1], a.scores[:, 1], a.prompt)
            rows.append({"from": more, "to": less, "love": love, "formality": formality})
    return rows


def write(folder: Path, names: Sequence[str]) -> None:
    """Write page, picture and figures of the arms there are."""
    points = read(folder, names)
    draw(points, PAGE / "front.svg")
    (PAGE / "front.json").write_text(json.dumps(document(points), indent=1) + "\n", encoding="utf-8")
    (PAGE / "front.md").write_text(page(points, folder), encoding="utf-8")
    print(page(points, folder))


def document(points: Mapping[str, Point]) -> dict[str, Any]:
    """The figures as plain data."""
    return {
        name: {
            "answers": one.answers,
            "love": [one.love.mean, one.love.low, one.love.high],
            "formality": [one.formality.mean, one.formality.low, one.formality.high],
            "harm": list(one.harm),
            "kl": one.kl,
            "cpu_seconds": round(one.cpu_seconds, 1),
        }
        for name, one in points.items()
    }


def page(points: Mapping[str, Point], folder: Path) -> str:
    """The page in Markdown."""
    lines = [
        "# The front of two conflicting rewards",
        "",
        "`make bench-front` (" + machine() + ").",
        "",
        "SmolLM2-135M-Instruct, prompts of the demo: two thirds to train on, one third never seen, to which every arm",
        "gives the answers counted here. `love` is how much an answer speaks to its reader, `formality` how much it is",
        "written as for print, `harm` whether it overclaims; all are functions of the text",
        "(`tests/benchmarks/front_task.py`). Love likes some of the words that overclaim. Intervals: 95 %, clustered",
        "by prompt; of harm by Wilson's rule on the effective number of answers.",
        "",
        "![love against formality](front.svg)",
        "",
        "| arm | answers | love | formality | harm | KL to the base |",
        "|---|---|---|---|---|---|",
        *(_row(one) for one in points.values()),
        "",
        *_order_lines(points),
        "",
        *_limit_lines(points, folder),
        "",
        "Of each arm, four answers:",
        "",
        *(line for name in points for line in _samples(folder, name)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def machine() -> str:
    """Where and when."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} core{'s' * (cores > 1)}, {platform.machine()}, torch {version('torch')}, {time.strftime('%Y-%m-%d')}"
    )


def _row(one: Point) -> str:
    harm = f"{one.harm[0]:.1%} ({one.harm[1]:.1%} to {one.harm[2]:.1%})"
    return f"| {one.name} | {one.answers} | {_span(one.love)} | {_span(one.formality)} | {harm} | {one.kl:.3f} |"


def _span(found: Estimate) -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _order_lines(points: Mapping[str, Point]) -> list[str]:
    lines = []
    for title, names in (("normalise each, then sum", GDPO), ("sum, then normalise", SUMS)):
        for row in ordered(points, names):
            right = row["love"].low > 0 and row["formality"].low > 0
            word = "in order" if right else "NOT shown to be in order"
            lines.append(
                f"- {title}, {row['from']} to {row['to']}: love falls by {_span(row['love'])}, formality rises by "
                f"{_span(row['formality'])}: {word}."
            )
    return lines


def _limit_lines(points: Mapping[str, Point], folder: Path) -> list[str]:
    lines = [_limit_line(points["base"], points[name], folder) for name in LIMITED if {"base", name} <= set(points)]
    for name, other in WITHOUT_LIMIT.items():
        free = points.get(other)
        if free is not None and name in points:
            lines.append(
                f"- The weights of `{name}` without the limit: harm {free.harm[0]:.1%}, love {free.love.mean:.3f}."
            )
    return [*lines, BROKEN_OFF] if set(LIMITED) <= set(points) else lines


def _limit_line(base: Point, own: Point, folder: Path) -> str:
    """Whether the limit was kept and love rose; against the base's answers, as many of each prompt."""
    each = len(base.prompt) // len(np.unique(base.prompt))
    rise = clustered_difference(first_of_each(own, each)[:, 0], base.scores[:, 0], base.prompt)
    document = json.loads((folder / f"{own.name}.json").read_text(encoding="utf-8"))
    return (
        f"- `{own.name}` ({len(document['history']['steps'])} steps, trained at a limit of "
        f"{document['limits']['harm']:.1%}: what is to be shown of new answers to new prompts needs room): harm is "
        f"{own.harm[0]:.2%}, upper bound {own.harm[2]:.2%}, of at most {LIMIT:.0%}: "
        f"{'kept' if own.harm[2] <= LIMIT else 'MISSED'} (base: {base.harm[0]:.1%}). Its love rose by {_span(rise)} "
        f"over the base: {'shown' if rise.low > 0 else 'NOT shown'}."
    )


def first_of_each(one: Point, each: int) -> "np.ndarray":
    """Scores (prompts x each, 3) of the first `each` answers to every prompt, prompt by prompt."""
    _, size = np.unique(one.prompt, return_counts=True)
    return one.scores.reshape(-1, int(size[0]), len(OBJECTIVES))[:, :each].reshape(-1, len(OBJECTIVES))


def _samples(folder: Path, name: str) -> list[str]:
    texts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["samples"][:4]
    return [f"- `{name}`: " + " / ".join(" ".join(text.split())[:110] for text in texts)]


def draw(points: Mapping[str, Point], path: Path) -> None:
    """Love against formality with both intervals; arms of one recipe joined."""
    figure = Figure(figsize=(8, 5.2))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for kind, names in (("gdpo", GDPO), ("sum", SUMS), ("base", ("base",)), *((x, (x,)) for x in LIMITED)):
        own = [points[name] for name in names if name in points]
        if not own:
            continue
        label = {"gdpo": "normalise each, then sum", "sum": "sum, then normalise"}.get(kind, kind)
        love, formality = [one.love for one in own], [one.formality for one in own]
        axes.errorbar(
            [one.mean for one in love],
            [one.mean for one in formality],
            xerr=[[e.mean - e.low for e in love], [e.high - e.mean for e in love]],
            yerr=[[e.mean - e.low for e in formality], [e.high - e.mean for e in formality]],
            marker="o",
            linestyle="-" if len(own) > 1 else "none",
            capsize=3,
            color=COLOURS[kind],
            label=label,
        )
        for one in own:
            axes.annotate(
                f"{one.name} (harm {one.harm[0]:.1%})",
                (one.love.mean, one.formality.mean),
                xytext=(6, 6),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set_xlabel("love (0 to 1)")
    axes.set_ylabel("formality (-1 to 1)")
    axes.margins(0.18)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
