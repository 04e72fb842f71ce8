"""The report's part on candidates: the gate's verdict, and the front of the cycle."""

from typing import Any

from markupsafe import Markup

from plaudit.demo.charts import Spot, front_chart
from plaudit.demo.facts import Facts
from policy_update.candidates.front import undominated


def gate_data(row: Any) -> dict[str, Any] | None:
    """The verdict on the candidate that met people, or might have."""
    if row is None or not row["gate"].get("checks"):
        return None
    checks = row["gate"]["checks"]
    return {
        "ref": f"{row['name']}@{row['version']}",
        "label": row["gate"].get("label", ""),
        "passed": row["gate"]["passed"],
        "count": f"{sum(bool(check['passed']) for check in checks)} of {len(checks)}",
        "checks": checks,
    }


FRONT = ("love", "relevance")


def front_data(facts: Facts) -> dict[str, Any] | None:
    """Every candidate of the cycle and the champion on love against relevance, as the gate scored them."""
    rows = [row for row in facts.candidates if all(name in row["gate"].get("levels", {}) for name in FRONT)]
    if not rows:
        return None
    levels = {f"{row['name']}@{row['version']}": row["gate"]["levels"] for row in rows}
    told = {ref: (row["gate"]["label"], STATES[row["state"]]) for ref, row in zip(levels, rows, strict=True)}
    control = rows[0]["lineage"].get("control", "champion")
    levels = {control: rows[0]["gate"]["champion_levels"], **levels}
    told = {control: ("what everybody is served", "champion before"), **told}
    best = undominated({ref: [found[name]["mean"] for name in FRONT] for ref, found in levels.items()})
    spots = [
        Spot(ref, _span(found["love"]), _span(found["relevance"]), ref in best, 2 if ref == control else 1)
        for ref, found in levels.items()
    ]
    return {
        "chart": Markup(front_chart(spots, x_label="predicted love", y_label="relevance, nats a token")),
        "rows": [
            {
                "ref": ref,
                "label": told[ref][0],
                "state": told[ref][1],
                "front": "yes" if ref in best else "",
                "cells": [_interval(found[name]) for name in FRONT],
            }
            for ref, found in levels.items()
        ],
    }


STATES = {
    "candidate": "no verdict",
    "refused": "refused",
    "reserve": "passed, in reserve",
    "challenger": "passed, waits",
    "champion": "passed, promoted",
    "retired": "passed, promoted",
    "rejected": "passed, not promoted",
}
"""What became of a candidate, for people."""


def _span(level: dict[str, float]) -> tuple[float, float, float]:
    return level["mean"], level["low"], level["high"]


def _interval(level: dict[str, float]) -> str:
    return f"{level['mean']:.3f} ({level['low']:.3f} to {level['high']:.3f})"
