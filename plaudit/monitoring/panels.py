"""Grafana dashboards as Python values, and the JSON that Grafana provisions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["timeseries", "stat", "table", "state-timeline"]

COLUMNS = 24
SCHEMA_VERSION = 39
"""Of the dashboard format; Grafana 11 writes it, and later ones read it."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

UNITS = {
    "seconds": "s",
    "ratio": "percentunit",
    "bytes": "bytes",
    "rate": "ops",
    "count": "short",
    "nats": "none",
    "on": "bool_on_off",
    "ago": "dateTimeFromNow",
}
"""Our words for Grafana's units."""


@dataclass(frozen=True)
class Panel:
    """One picture. `queries`: (PromQL, legend), ranges written `[$__rate_interval]`. `threshold`: a line above which
    something is wrong."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "count"
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    what: str = ""
    threshold: float | None = None
    stacked: bool = False

    def document(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana stores it, at column `x` and row `y`."""
        instant = self.kind in ("stat", "table")
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.what,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": DATASOURCE,
                    "expr": expression,
                    "legendFormat": legend,
                    "instant": instant,
                    "range": not instant,
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for place, (expression, legend) in enumerate(self.queries)
            ],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
        }

    def _defaults(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.threshold is not None:
            steps.append({"color": "red", "value": self.threshold})
        custom: dict[str, Any] = {}
        if self.kind == "timeseries":
            custom = {
                "lineWidth": 2,
                "fillOpacity": 30 if self.stacked else 0,
                "stacking": {"mode": "normal" if self.stacked else "none"},
                "thresholdsStyle": {"mode": "off" if self.threshold is None else "line"},
                "showPoints": "never",
            }
        return {
            "unit": UNITS[self.unit],
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": custom,
            **({"min": 0, "max": 1} if self.unit == "ratio" and self.kind == "timeseries" else {}),
        }

    def _options(self) -> dict[str, Any]:
        if self.kind == "timeseries":
            return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        if self.kind == "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto", "colorMode": "value"}
        return {}


@dataclass(frozen=True)
class Dashboard:
    """`rows`: (heading, panels); panels flow from left to right."""

    uid: str
    title: str
    what: str
    rows: Sequence[tuple[str, Sequence[Panel]]]

    @property
    def panels(self) -> list[Panel]:
        """All of them."""
        return [panel for _, panels in self.rows for panel in panels]

    def text(self) -> str:
        """The JSON file, the same for the same panels."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n"

    def document(self) -> dict[str, Any]:
        """As Grafana provisions it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.what,
            "tags": ["plaudit"],
            "editable": False,
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_datasource()]},
            "links": [{"type": "dashboards", "tags": ["plaudit"], "title": "Plaudit", "asDropdown": True}],
            "panels": self._placed(),
        }

    def _placed(self) -> list[dict[str, Any]]:
        placed: list[dict[str, Any]] = []
        top = 0
        for heading, panels in self.rows:
            at = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            placed.append({"id": len(placed) + 1, "type": "row", "title": heading, "gridPos": at, "panels": []})
            top, left, tallest = top + 1, 0, 0
            for panel in panels:
                if left + panel.width > COLUMNS:
                    top, left, tallest = top + tallest, 0, 0
                placed.append(panel.document(len(placed) + 1, left, top))
                left, tallest = left + panel.width, max(tallest, panel.height)
            top += tallest
        return placed


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
