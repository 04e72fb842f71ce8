"""The picture of predicted against realised rates: every past candidate with its errors, the line, and the ideal."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reward_model.offline_online import OfflineOnline

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8C8C8C", "#222222"
_Z95 = 1.96
_MOST_NAMES = 20
_WIDTH = 100


def scatter(
    path: Path, report: OfflineOnline, *, title: str = "Predicted and realised rate of past candidates"
) -> Path:
    """Write a PNG of 900 x 700 pixels; returns `path`. Bars are 95 % intervals. Without points it says so."""
    figure = Figure(figsize=(9.0, 7.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if report.points:
        _points(axes, report)
        _lines(axes, report)
        axes.legend(loc="lower right", frameon=False)
    else:
        axes.text(0.5, 0.5, "no candidate has both rates yet", ha="center", transform=axes.transAxes, color=INK)
    axes.set_xlabel("predicted rate on the fixed prompts")
    axes.set_ylabel("realised rate in its experiment")
    axes.set_title(f"{title}\n{_told(report)}", fontsize=11, loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(path)
    return path


def _points(axes: Axes, report: OfflineOnline) -> None:
    x = [point.predicted.value for point in report.points]
    y = [point.realised.value for point in report.points]
    axes.errorbar(
        x,
        y,
        xerr=[_Z95 * point.predicted.error for point in report.points],
        yerr=[_Z95 * point.realised.error for point in report.points],
        fmt="o",
        color=BLUE,
        ecolor=GREY,
        elinewidth=1,
        label=f"{len(x)} candidates, 95 % intervals",
    )
    for point in report.points[-_MOST_NAMES:]:
        place = (point.predicted.value, point.realised.value)
        axes.annotate(point.candidate, place, xytext=(5, 4), textcoords="offset points", fontsize=7, color=INK)


def _lines(axes: Axes, report: OfflineOnline) -> None:
    x = np.array([point.predicted.value for point in report.points])
    y = np.array([point.realised.value for point in report.points])
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="realised as predicted")
    if report.line is None:
        return
    room = 0.04 * (float(np.ptp(x)) or 0.01)
    grid = np.linspace(x.min() - room, x.max() + room, 60)
    expected = np.array([report.line.predict(float(one)) for one in grid])
    axes.plot(grid, expected[:, 0], color=ORANGE, linewidth=2, label="line through the candidates")
    axes.fill_between(
        grid, expected[:, 1], expected[:, 2], color=ORANGE, alpha=0.15, linewidth=0, label="95 % for a new candidate"
    )


def _told(report: OfflineOnline) -> str:
    out = f"; {len(report.left_out)} awful left out" if report.left_out else ""
    said = f"trust: {report.trust.level} ({report.trust.number:.2f}), {report.trust.meaning}{out}"
    return textwrap.fill(said, _WIDTH)
