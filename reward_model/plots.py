"""Pictures of an evaluation as PNG files of 900 x 600 pixels. Each function draws one and returns the path it wrote.

Only matplotlib's object interface and its Agg canvas: no display, no global state, safe in any thread. Colours are told
apart by people who see colours differently (Okabe and Ito), and never carry a meaning alone: markers and labels do too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reward_model.best_of_n import BestOfN
from reward_model.comparison import Comparison, Verdict
from reward_model.drift import Drift
from reward_model.evaluation import InvalidEvaluation, wilson
from reward_model.slices import Slice

Array = NDArray[np.float64]

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#222222"
_SIZE, _DPI = (9.0, 6.0), 100
_MOST_ROWS = 22
"""Rows of a chart that stay readable at this height; what is left out is said in the title."""


@dataclass(frozen=True)
class LossRow:
    """One loss in the table: its accuracy on unseen pairs with an interval, and its gain over Bradley-Terry on the same
    pairs (None for Bradley-Terry itself)."""

    name: str
    accuracy: float
    low: float
    high: float
    gain: tuple[float, float, float] | None = None


def reliability_diagram(
    path: Path,
    probabilities: Array,
    targets: Array,
    weights: Array,
    *,
    title: str,
    bins: int = 10,
    note: str = "",
) -> Path:
    """Mean label against mean prediction in equal-count bins, Wilson 95 % intervals on effective counts, the diagonal,
    and under it where the predictions lie. probabilities, targets [N] in [0, 1], weights [N] >= 0, N >= 1."""
    if not len(probabilities):
        raise InvalidEvaluation("a reliability diagram needs at least one held-out label", field="probabilities")
    figure, (upper, lower) = _figure(2, [3.2, 1.0])
    order = np.argsort(probabilities, kind="stable")
    parts = [p for p in np.array_split(order, min(bins, len(order))) if weights[p].sum() > 0]
    mean_p = np.array([np.average(probabilities[p], weights=weights[p]) for p in parts])
    mean_y = np.array([np.average(targets[p], weights=weights[p]) for p in parts])
    worth = [max(1, round(weights[p].sum() ** 2 / np.square(weights[p]).sum())) for p in parts]
    spans = np.array([wilson(float(y), n) for y, n in zip(mean_y, worth, strict=True)])
    top = min(1.0, 1.1 * float(max(mean_p.max(), spans.max())) + 0.02)
    upper.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1.2, label="perfectly calibrated")
    errors = np.maximum(np.abs(spans.T - mean_y), 0.0)
    upper.errorbar(mean_p, mean_y, yerr=errors, fmt="o", color=BLUE, capsize=3, label="bins of equal count, 95 %")
    upper.set(xlim=(0, top), ylim=(0, top), ylabel="share that happened")
    upper.legend(loc="upper left", frameon=False)
    lower.hist(np.minimum(probabilities, top), bins=40, range=(0, top), weights=weights, color=BLUE, alpha=0.75)
    lower.set(xlim=(0, top), xlabel="predicted probability", ylabel="weight")
    return _write(figure, upper, path, title, note or f"{len(probabilities)} held-out labels")


def best_of_n_curve(
    path: Path, curves: Mapping[str, BestOfN], *, title: str, truth: str = "mean truth of the chosen answer"
) -> Path:
    """One line a scorer over n (logarithmic), 95 % bands, and the ceiling of choosing by the truth itself."""
    drawn = {name: found for name, found in curves.items() if found.points}
    figure, (axes,) = _figure(1)
    for (name, found), colour, marker in zip(drawn.items(), (BLUE, ORANGE, GREEN, INK), "osD^", strict=False):
        ns = [point.n for point in found.points]
        axes.plot(ns, [p.mean for p in found.points], color=colour, marker=marker, label=name)
        axes.fill_between(ns, [p.low for p in found.points], [p.high for p in found.points], color=colour, alpha=0.15)
    if drawn:
        first = next(iter(drawn.values()))
        ns = [point.n for point in first.points]
        axes.plot(ns, [p.mean for p in first.ceiling], color=GREY, linestyle="--", label="ceiling: chosen by the truth")
        axes.set_xscale("log", base=2)
        axes.set_xticks(ns, [f"{n}\n{p.kl:.2f}" for n, p in zip(ns, first.points, strict=True)])
        axes.legend(loc="best", frameon=False)
    else:
        _say_nothing(axes, "no prompt has enough scored answers")
    axes.set(xlabel="n answers to choose from; below, the most KL (nats) it can cost", ylabel=truth)
    prompts = max((found.prompts for found in drawn.values()), default=0)
    return _write(figure, axes, path, title, f"{prompts} prompts, all subsets, 95 %")


def slices_chart(path: Path, slices: Sequence[Slice], *, title: str, metric: str, whole: float | None = None) -> Path:
    """One row a slice with its interval, by column; small slices hollow and grey; a line at the metric on all rows, and
    a star on slices whose interval leaves it out."""
    shown = [s for s in slices if s.interval is not None][:_MOST_ROWS]
    figure, (axes,) = _figure(1)
    for row, found in enumerate(shown):
        interval = found.interval
        assert interval is not None
        colour = GREY if found.small else BLUE
        low, high = (x if np.isfinite(x) else interval.estimate for x in (interval.low, interval.high))
        axes.plot([low, high], [row, row], color=colour, linewidth=2.0)
        axes.plot(interval.estimate, row, "o", color=colour, markerfacecolor="white" if found.small else colour)
    names = [_slice_name(s, whole) for s in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=9 if len(shown) > 14 else 10)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for row in range(1, len(shown)):
        if shown[row].column != shown[row - 1].column:
            axes.axhline(row - 0.5, color=GREY, linewidth=0.6)
    if whole is not None:
        axes.axvline(whole, color=ORANGE, linestyle="--", linewidth=1.2, label=f"all rows: {whole:.3f}")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False)
    if not shown:
        _say_nothing(axes, "no slice has a metric")
    axes.set_xlabel(metric)
    left_out = len([s for s in slices if s.interval is not None]) - len(shown)
    note = "95 %, people resampled; hollow: too small to read; *: differs from all rows"
    return _write(figure, axes, path, title, note + (f"; {left_out} more slices" if left_out else ""))


def disagreement_chart(
    path: Path, challenger: Array, champion: Array, *, title: str, note: str = "", flipped: Array | None = None
) -> Path:
    """Ranks (0 to 1) of the same answers under the champion and the challenger; `flipped` [N], bool, marks answers of
    pairs that the two order differently."""
    figure, (axes,) = _figure(1)
    size = max(len(champion) - 1, 1)
    x, y = (np.argsort(np.argsort(column, kind="stable"), kind="stable") / size for column in (champion, challenger))
    marked = np.zeros(len(x), bool) if flipped is None else flipped.astype(bool)
    dot = 6 if len(x) > 2000 else 14
    axes.scatter(x[~marked], y[~marked], s=dot, color=BLUE, alpha=0.45, linewidths=0, label="in agreement")
    if marked.any():
        axes.scatter(x[marked], y[marked], s=2 * dot, color=ORANGE, marker="x", label="of a pair ordered differently")
        axes.legend(loc="upper left", frameon=True, framealpha=0.9)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="rank under the champion", ylabel="rank under the challenger")
    return _write(figure, axes, path, title, note or f"{len(x)} answers")


def drift_chart(path: Path, found: Drift, *, title: str) -> Path:
    """Left: PSI of scores and of the features that moved most, with what chance allows; right: changes of label rates
    with their intervals. Orange and a star where something drifted."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    shifts = [*found.scores, *sorted(found.features, key=lambda s: -s.psi)[: max(3, 14 - len(found.scores))]]
    for row, moved in enumerate(shifts):
        left.barh(row, moved.psi, color=ORANGE if moved.drifted else BLUE, height=0.6)
        if np.isfinite(moved.critical):
            left.plot([moved.critical] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=1.6)
    left.set_yticks(range(len(shifts)), [s.name + (" *" if s.drifted else "") for s in shifts])
    left.invert_yaxis()
    left.set(xlabel="PSI; mark: most that chance gives", title="distributions")
    for row, rate in enumerate(found.rates):
        colour = ORANGE if rate.drifted else BLUE
        if np.isfinite(rate.low):
            right.plot([rate.low, rate.high], [row, row], color=colour, linewidth=2)
        right.plot(rate.difference, row, "o", color=colour)
    names = [f"{r.name}{' *' if r.drifted else ''}\n{r.before:.3f} to {r.after:.3f}" for r in found.rates]
    right.set_yticks(range(len(names)), names)
    right.set_ylim(max(len(names), 1) - 0.4, -0.6)
    right.axvline(0.0, color=GREY, linestyle="--", linewidth=1.2)
    right.set(xlabel="change of the mean label", title="labels")
    for axes, empty in ((left, not shifts), (right, not found.rates)):
        _clean(axes)
        if empty:
            _say_nothing(axes, "nothing to compare")
    return _write(figure, None, path, title, "orange, *: drifted (PSI above chance and above 0.1; interval without 0)")


def loss_table(path: Path, rows: Sequence[LossRow], *, title: str, chosen: str, note: str = "") -> Path:
    """Accuracy of each loss on unseen pairs with intervals, best first, and its gain over `bt` in points; the chosen
    loss is marked."""
    figure, (axes,) = _figure(1)
    ordered = sorted(rows, key=lambda r: -r.accuracy)[:_MOST_ROWS]
    for place, row in enumerate(ordered):
        colour = ORANGE if row.name == chosen else BLUE
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.2)
        axes.plot(row.accuracy, place, "D" if row.name == chosen else "o", color=colour)
        gain = "" if row.gain is None else "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * g for g in row.gain))
        shown = f"{row.accuracy:.1%}   {gain}" if gain else f"{row.accuracy:.1%}"
        axes.text(1.02, place, shown, transform=axes.get_yaxis_transform(), va="center", fontsize=10, color=INK)
    names = [row.name + (" (chosen)" if row.name == chosen else "") for row in ordered]
    axes.set_yticks(range(len(ordered)), names)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.text(1.02, -0.75, "accuracy   points over bt (95 %)", transform=axes.get_yaxis_transform(), fontsize=9)
    plain = next((row.accuracy for row in ordered if row.name == "bt"), None)
    if plain is not None:
        axes.axvline(plain, color=GREY, linestyle="--", linewidth=1.2)
    axes.set_xlabel("accuracy on unseen pairs, 95 %")
    return _write(figure, axes, path, title, note)


def comparison_chart(path: Path, comparisons: Mapping[str, Comparison], *, title: str) -> Path:
    """Challenger against champion: difference of loss by head or metric with its interval; left of 0 is better."""
    figure, (axes,) = _figure(1)
    colours = {Verdict.BETTER: GREEN, Verdict.WORSE: ORANGE}
    names = []
    for row, (name, found) in enumerate(comparisons.items()):
        colour = colours.get(found.verdict, BLUE)
        if np.isfinite(found.low) and np.isfinite(found.high):
            axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2.2)
        if np.isfinite(found.difference):
            axes.plot(found.difference, row, "o", color=colour)
        names.append(f"{name}\n{found.verdict.replace('_', ' ')}, {found.people} people")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.axvline(0.0, color=GREY, linestyle="--", linewidth=1.2)
    if not names:
        _say_nothing(axes, "nothing was compared")
    axes.set_xlabel("challenger's loss - champion's loss; left of 0 the challenger is better")
    return _write(figure, axes, path, title, "held-out rows, people resampled whole")


def _figure(rows: int, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    made = figure.subplots(rows, 1, squeeze=False, gridspec_kw={"height_ratios": heights} if heights else None)
    axes = [made[i][0] for i in range(rows)]
    for one in axes:
        _clean(one)
    return figure, axes


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def _slice_name(found: Slice, whole: float | None) -> str:
    assert found.interval is not None
    star = " *" if whole is not None and found.differs(whole) else ""
    return f"{found.column}: {found.label} ({found.interval.count}){star}"


def _say_nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=12)


def _write(figure: Figure, axes: Axes | None, path: Path, title: str, note: str) -> Path:
    """Title and note on, the file written, its folder made."""
    heading = f"{title}\n" if note else title
    if axes is None:
        figure.suptitle(title, fontsize=13, fontweight="bold")
    else:
        axes.set_title(heading, fontsize=13, fontweight="bold", loc="left")
    if note:
        figure.supxlabel(note, fontsize=9, color=GREY)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png")
    return path
