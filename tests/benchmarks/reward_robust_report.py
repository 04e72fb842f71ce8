"""The page docs/benchmarks/robust-losses.md, and the same figures as JSON."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.reward_contest import Cell
from tests.benchmarks.reward_robust_words import ATTACK, EVERY, INTRODUCTION, MAIN, PRODUCT, RATES, READING

Array = NDArray[np.float64]
Results = Sequence[tuple[Any, Any]]
_RESAMPLES = 1000
_FEW = 6


@dataclass(frozen=True)
class Gain:
    """Accuracy in [0, 1], the gain over bt with its 95 % interval over groups, and the gain's spread over seeds."""

    accuracy: float
    gain: float
    low: float
    high: float
    seeds: float


@dataclass(frozen=True)
class Figures:
    """A cell in numbers. `won_back`: (share, low, high) of what the told loss wins, where its interval is above zero;
    flip rates over runs: mean estimated and realised, the largest error, the share of runs within .05."""

    losses: dict[str, Gain]
    won_back: tuple[float, float, float] | None
    estimated: float
    realised: float
    largest_error: float
    within: float
    area: float | None


def cell_figures(cell: Cell, groups: NDArray[np.int64]) -> Figures:
    """Means and paired intervals, whole groups resampled."""
    index = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(index).astype(float)
    counts = np.random.default_rng(0).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), _RESAMPLES)

    def resampled(values: Array) -> Array:
        return np.asarray((counts @ np.bincount(index, values)) / (counts @ sizes))

    plain = cell.right["bt"]
    losses = {}
    for name, right in cell.right.items():
        low, high = np.quantile(resampled(right - plain), [0.025, 0.975])
        differences = np.array(cell.by_seed[name]) - np.array(cell.by_seed["bt"])
        spread = np.std(differences, ddof=min(1, len(differences) - 1))
        losses[name] = Gain(*(float(v) for v in (right.mean(), (right - plain).mean(), low, high, spread)))
    won = None
    if losses["huber_bt, told"].low > 0.0:
        ratios = resampled(cell.right["huber_bt"] - plain) / resampled(cell.right["huber_bt, told"] - plain)
        low, high = np.quantile(ratios, [0.025, 0.975])
        won = (losses["huber_bt"].gain / losses["huber_bt, told"].gain, float(low), float(high))
    errors = np.abs(np.array(cell.estimated) - np.array(cell.realised))
    return Figures(
        losses,
        won,
        float(np.mean(cell.estimated)),
        float(np.mean(cell.realised)),
        float(errors.max()),
        float((errors <= 0.05).mean()),
        float(np.min(cell.area)) if cell.area else None,
    )


def write(page: Path, results: Results, runs: int, seconds: float) -> None:
    """The page and its JSON."""
    page.parent.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "runs": runs, "minutes": round(seconds / 60, 1)}
    rows = [
        asdict(task) | {"result": asdict(found) if isinstance(found, Figures) else found} for task, found in results
    ]
    page.with_suffix(".json").write_text(json.dumps(about | {"results": rows}, indent=1) + "\n", encoding="utf-8")
    cells = [(task, found) for task, found in results if isinstance(found, Figures)]
    parts = [
        INTRODUCTION.format(**about),
        "## The default against plain Bradley-Terry\n\n" + MAIN + _main(cells),
        "## Asked and measured\n\n" + _asked(cells, results),
        "## Flip rates\n\n" + RATES + _rates(cells),
        "## Accounts that act together among people\n\n" + ATTACK + _attacks(results),
        "## Every loss\n\n" + EVERY + _every(cells),
        "## The function that trains\n\n" + PRODUCT + _products(results),
        READING,
    ]
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def _main(cells: Sequence[tuple[Any, Figures]]) -> str:
    lines = [
        "| set | noise | rate | bt | huber_bt | gain, points | told, gain | won back |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, found in cells:
        one, told = found.losses["huber_bt"], found.losses["huber_bt, told"]
        won = "-" if found.won_back is None else "{:.0%} ({:.0%} to {:.0%})".format(*found.won_back)
        lines.append(
            f"| {task.name} | {task.kind if task.level else 'none'} | {task.level:.0%} | {_percent(found, 'bt')} | "
            f"{one.accuracy:.2%} | {_interval(one)} | {_interval(told)} | {won} |"
        )
    return "\n".join(lines)


def _percent(found: Figures, name: str) -> str:
    return f"{found.losses[name].accuracy:.2%}"


def _interval(gain: Gain) -> str:
    bold = "**" if gain.low > 0.0 else ""
    return f"{bold}{100 * gain.gain:+.2f}{bold} ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"


def _asked(cells: Sequence[tuple[Any, Figures]], results: Results) -> str:
    clean = [(task.name, found.losses["huber_bt"]) for task, found in cells if not task.level]
    better = {
        name: [
            f"{task.kind} {task.level:.0%}"
            for task, found in cells
            if task.name == name and task.level >= 0.2 and found.losses["huber_bt"].low > 0.0
        ]
        for name, _ in clean
    }
    won = [(task, found.won_back) for task, found in cells if found.won_back and task.level >= 0.2]
    least = [f"{t.name} {t.kind} {t.level:.0%}: {w[0]:.0%}" for t, w in won if w[0] < 0.6]
    close = [(task, found) for task, found in cells if task.level]
    far = [f"{t.name} {t.kind} {t.level:.0%}" for t, f in close if abs(f.estimated - f.realised) > 0.05]
    attacks = [found for task, found in results if task.what == "attack"]
    area, right = min(a["area"] for a in attacks), min(a["huber_bt"] for a in attacks)
    rows = [
        (
            "costs nothing measurable at 0 %",
            "; ".join(f"{n} {_interval(g)}" for n, g in clean),
            all(g.high >= 0.0 for _, g in clean),
        ),
        (
            "interval above zero at one or more of 20, 30, 40 % on each set",
            "; ".join(f"{n}: {', '.join(where) or 'nowhere'}" for n, where in better.items()),
            all(better.values()),
        ),
        (
            "at least 60 % won back (20 to 40 %, where the told loss measurably wins)",
            f"{sum(w[0] >= 0.6 for _, w in won)} of {len(won)} cells, {sum(w[0] >= 0.8 for _, w in won)} with 80 %"
            + (f"; below: {'; '.join(least)}" if least else ""),
            not least,
        ),
        (
            "mean estimated flip rate within 5 points, 10 to 40 %",
            f"{len(close) - len(far)} of {len(close)} cells" + (f"; not: {'; '.join(far)}" if far else ""),
            not far,
        ),
        ("AUROC of coordinated accounts at least .95, worst seed", f"{area:.3f}", area >= 0.95),
        ("accuracy under attack at least .96, worst seed", f"{right:.4f}", right >= 0.96),
    ]
    lines = ["| asked | measured | |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {a} | {m} | {'met' if ok else 'MISSED'} |" for a, m, ok in rows)])


def _rates(cells: Sequence[tuple[Any, Figures]]) -> str:
    lines = [
        "| set | noise | realised | estimated, mean | largest error of a run | runs within 5 points "
        "| least AUROC of coordinated raters |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, f in cells:
        area = "-" if f.area is None else f"{f.area:.3f}"
        lines.append(
            f"| {task.name} | {task.kind if task.level else 'none'} | {f.realised:.1%} | {f.estimated:.1%} | "
            f"{f.largest_error:.1%} | {f.within:.0%} | {area} |"
        )
    return "\n".join(lines)


def _attacks(results: Results) -> str:
    lines = [
        "| attack | seed | bt | huber_bt | without the accounts | AUROC | estimated flips | realised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, a in results:
        if task.what == "attack":
            lines.append(
                f"| {task.name} | {task.seeds} | {a['bt']:.4f} | {a['huber_bt']:.4f} | {a['told']:.4f} | "
                f"{a['area']:.3f} | {a['estimated']:.1%} | {a['realised']:.1%} |"
            )
    return "\n".join(lines)


def _every(cells: Sequence[tuple[Any, Figures]]) -> str:
    parts = []
    for name in dict.fromkeys(task.name for task, _ in cells):
        rows = [(task, found) for task, found in cells if task.name == name and len(found.losses) > _FEW]
        heads = [f"{t.kind} {t.level:.0%}" if t.level else "none" for t, _ in rows]
        lines = [f"### {name}", "", "| loss | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
        lines += [
            f"| {loss} | " + " | ".join(_short(found.losses[loss], loss) for _, found in rows) + " |"
            for loss in rows[0][1].losses
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _short(gain: Gain, loss: str) -> str:
    if loss == "bt":
        return f"{gain.accuracy:.2%}"
    mark = "**" if gain.low > 0.0 else "*" if gain.high < 0.0 else ""
    return f"{mark}{100 * gain.gain:+.1f}{mark} ±{50 * (gain.high - gain.low):.1f}"


def _products(results: Results) -> str:
    lines = [
        "| set | noise, 40 % | bt | huber_bt | held-out pairs | estimated flips | realised |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, p in results:
        if task.what == "product":
            lines.append(
                f"| {task.name} | {task.kind} | {p['bt']:.3f} | {p['huber_bt']:.3f} | {p['pairs']:.0f} | "
                f"{p['estimated']:.1%} ({p['low']:.1%} to {p['high']:.1%}) | {p['realised']:.1%} |"
            )
    return "\n".join(lines)


def machine() -> str:
    """Cores, architecture and versions the figures were made with."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch", "transformers"))
    return f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
