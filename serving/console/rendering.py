"""Templates, how numbers and times are written, and the headers of every page."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

HEADERS = {
    # Scripts and styles are files of ours alone; nothing inline, nothing from elsewhere, no framing, no other form.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
NO_STORE = {"cache-control": "no-store"}


@cache
def environment() -> Environment:
    """Made once a process; a name that a template does not know fails instead of showing nothing."""
    made = Environment(
        loader=PackageLoader("serving.console", "templates"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "instant": instant, "ago": ago, "duration": duration, "number": number, "share": share, "signed": signed,
        "grouped": grouped, "e_value": e_value, "short": short, "data": data,
    }  # fmt: skip
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    """One template as text."""
    return environment().get_template(template).render(**values)


def page(template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """One template as a response."""
    return HTMLResponse(render(template, values), status, {**HEADERS, **NO_STORE})


def asset(path: str) -> tuple[bytes, str] | None:
    """A static file and its type; None for what is not there. Names are looked up, never joined to a path."""
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(path.rpartition(".")[2])
    found = _assets().get(path)
    return None if kind is None or found is None else (found, f"{kind}; charset=utf-8")


@cache
def _assets() -> dict[str, bytes]:
    root = files("serving.console").joinpath("static")
    vendor = root.joinpath("vendor")
    named = {item.name: item for item in root.iterdir() if item.is_file()}
    named |= {f"vendor/{item.name}": item for item in vendor.iterdir() if item.is_file()}
    return {name: item.read_bytes() for name, item in named.items()}


def instant(seconds: float | None) -> str:
    """Unix seconds as `2026-11-28 20:41:07`, UTC."""
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """A length of time in its largest unit, two digits."""
    if seconds is None:
        return "–"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0.0):.3g} s" if seconds < 10 else f"{seconds:.0f} s"


def ago(seconds: float | None, now: float) -> str:
    """How long ago an instant was."""
    if seconds is None or seconds <= 0:
        return "never"
    past = max(0.0, now - seconds)
    return f"{past:.0f} s ago" if past < 60 else f"{duration(past)} ago"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals; an en dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, always with its sign."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def share(value: float | None, digits: int = 1) -> str:
    """A ratio in per cent."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def grouped(value: float | None) -> str:
    """A count with thin spaces between thousands."""
    return "–" if value is None else f"{round(value):,}".replace(",", "\u202f")


def e_value(log_e: float | None) -> str:
    """An e-value from its logarithm (nats)."""
    return "–" if log_e is None or not math.isfinite(log_e) else f"{math.exp(min(log_e, 700.0)):.3g}"


def short(text: str | None, characters: int = 60) -> str:
    """A text on one line, cut where it is longer."""
    line = " ".join((text or "").split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def data(value: Any) -> Markup:
    """JSON for a `<script type="application/json">`: whatever could end the element is escaped."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704
