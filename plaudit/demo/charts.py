"""Small inline SVG charts for reports: lines with an optional band, and horizontal bars. No script, no library.

Colours come from the page's CSS variables, so that light and dark mode both work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 34


@dataclass(frozen=True)
class Series:
    """One line: points (x, y) in data units, and an optional band (x, low, high). `tone` 1 to 4 picks the colour."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    tone: int = 1


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.start + (value - self.low) / span * (self.stop - self.start)


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, rules: Sequence[tuple[float, str]] = ()) -> str:
    """SVG of all series on common axes; `rules` are horizontal lines (y, caption). Empty data gives a sentence."""
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + [v for s in series for _, a, b in s.band for v in (a, b)]
    if not xs:
        return '<p class="empty">no data</p>'
    ys += [y for y, _ in rules]
    pad = (max(ys) - min(ys)) * 0.06 or 0.5
    sx = _Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    sy = _Scale(min(ys) - pad, max(ys) + pad, HEIGHT - BOTTOM, TOP)
    parts = [_axes(sx, sy, x_label, y_label)]
    for value, caption in rules:
        y = sy(value)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="caption" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">{escape(caption)}</text>'
        )
    for s in series:
        if s.band:
            outline = [(sx(x), sy(high)) for x, _, high in s.band] + [
                (sx(x), sy(low)) for x, low, _ in reversed(s.band)
            ]
            parts.append(f'<polygon class="band tone{s.tone}" points="{_points(outline)}"/>')
        parts.append(f'<polyline class="line tone{s.tone}" points="{_points([(sx(x), sy(y)) for x, y in s.points])}"/>')
    legend = "".join(f'<span class="key tone{s.tone}">{escape(s.name)}</span>' for s in series)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">{"".join(parts)}</svg>'
    return f'<figure>{svg}<figcaption class="legend">{legend}</figcaption></figure>'


@dataclass(frozen=True)
class Spot:
    """One point with an interval on both axes, (value, low, high) each; `front`: nothing beats it; `tone` 1 to 4."""

    name: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    front: bool = False
    tone: int = 1


def front_chart(spots: Sequence[Spot], *, x_label: str, y_label: str) -> str:
    """SVG of points with their intervals; those on the front are joined by a line. Empty data gives a sentence."""
    if not spots:
        return '<p class="empty">no data</p>'
    xs, ys = [v for s in spots for v in s.x], [v for s in spots for v in s.y]
    sx = _Scale(min(xs) - _pad(xs), max(xs) + _pad(xs), LEFT, WIDTH - RIGHT)
    sy = _Scale(min(ys) - _pad(ys), max(ys) + _pad(ys), HEIGHT - BOTTOM, TOP)
    parts = [_axes(sx, sy, x_label, y_label)]
    joined = sorted((sx(s.x[0]), sy(s.y[0])) for s in spots if s.front)
    parts.append(f'<polyline class="rule" fill="none" points="{_points(joined)}"/>')
    for s in spots:
        x, y = sx(s.x[0]), sy(s.y[0])
        # thin, or the widest interval would be all there is to see
        bars = f"M{sx(s.x[1]):.1f} {y:.1f}H{sx(s.x[2]):.1f}M{x:.1f} {sy(s.y[1]):.1f}V{sy(s.y[2]):.1f}"
        parts.append(f'<path class="whisker tone{s.tone}" d="{bars}"/>')
        parts.append(f'<circle class="spot tone{s.tone}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        end = x > WIDTH - 150
        parts.append(
            f'<text class="caption" x="{x + (-9 if end else 9):.1f}" y="{y - 7:.1f}" '
            f'text-anchor="{"end" if end else "start"}">{escape(s.name)}</text>'
        )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">{"".join(parts)}</svg>'
    return f"<figure>{svg}</figure>"


def _pad(values: Sequence[float]) -> float:
    return (max(values) - min(values)) * 0.06 or 0.5


def bar_chart(rows: Sequence[tuple[str, float, str]], *, label: str) -> str:
    """Horizontal bars: (name, value >= 0, caption)."""
    if not rows:
        return '<p class="empty">no data</p>'
    top = max(value for _, value, _ in rows) or 1.0
    height = 26 * len(rows) + 8
    parts = []
    for i, (name, value, caption) in enumerate(rows):
        y = 4 + 26 * i
        width = 330 * value / top
        parts.append(f'<text class="axis" x="150" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar" x="158" y="{y + 3}" width="{max(width, 1):.1f}" height="16" rx="2"/>')
        parts.append(f'<text class="axis" x="{166 + width:.1f}" y="{y + 15}">{escape(caption)}</text>')
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    return f"<figure>{svg}</figure>"


def _axes(sx: _Scale, sy: _Scale, x_label: str, y_label: str) -> str:
    parts = []
    for tick in _ticks(sy.low, sy.high):
        y = sy(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(sx.low, sx.high):
        parts.append(
            f'<text class="axis" x="{sx(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>'
    )
    turned = f"translate(12 {HEIGHT / 2}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turned}" text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers inside [low, high]."""
    import math

    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if raw <= m * power)
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
