"""What the plots are drawn from: one JSON document a chart, which `console.js` hands to uPlot, and the same numbers as
a table for whoever has no script. Small histograms and dots are inline SVG, see `templates/plots.html`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TABLE_ROWS = 12


@dataclass(frozen=True)
class Line:
    """One series; None where there is no value. `tone` a, b, c, or `band` for the edge of a band."""

    name: str
    values: Sequence[float | None]
    tone: str = "a"


@dataclass(frozen=True)
class Band:
    """Filled between two lines, by their places."""

    upper: int
    lower: int


def chart(
    name: str,
    title: str,
    *,
    x: tuple[str, Sequence[float]],
    y: str,
    lines: Sequence[Line],
    band: Band | None = None,
    rules: Sequence[tuple[float, str]] = (),
    time: bool = False,
    caption: str = "",
) -> dict[str, Any]:
    """What a template needs: `document` for the script, `table` for people. Without two points nothing is drawn."""
    label, xs = x
    document = {
        "x": {"label": label, "values": list(xs), "time": time},
        "y": {"label": y},
        "lines": [{"name": line.name, "values": list(line.values), "tone": line.tone} for line in lines],
        "band": None if band is None else [band.upper + 1, band.lower + 1],
        "rules": [{"at": at, "name": told} for at, told in rules],
    }
    return {
        "name": name,
        "title": title,
        "caption": caption,
        "drawn": len(xs) >= 2,
        "time": time,
        "document": document,
        "columns": [label, *(line.name for line in lines)],
        "table": _table(xs, lines),
    }


def _table(xs: Sequence[float], lines: Sequence[Line]) -> list[list[float | None]]:
    """At most `TABLE_ROWS` rows, evenly chosen, the last one always among them."""
    count = len(xs)
    places = sorted({round(i * (count - 1) / max(1, TABLE_ROWS - 1)) for i in range(min(count, TABLE_ROWS))})
    return [[xs[at], *(line.values[at] for line in lines)] for at in places]


def histogram(values: Sequence[float], bins: int = 10) -> list[float]:
    """Shares of `values`, each in [0, 1], in so many equal bins; empty for none. The last bin has its upper end."""
    if not values:
        return []
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return [count / len(values) for count in counts]
