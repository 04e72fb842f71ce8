"""Before anybody is exposed: what answers that are logged already say about a challenger. Advice, and nothing more.

The gate of the policy update has the challenger's weights and computes ratios of probabilities of whole logged answers
(`policy_update.gating.logged`): clipped IPS and doubly robust means with always-valid bounds, SNIPS as a point. What it
says is in the adapter's gate document and is shown beside the start of the experiment. Estimates that rest on fewer
than 100 effective answers are withheld: they are neither a pass nor a veto, and the gate's own scores of fresh answers
remain what is asked before exposure.
"""

import math
from collections.abc import Mapping
from typing import Any

PREFIX = "off_policy_"
"""How checks of the gate document are named that are advice from logged answers."""


def gate_advice(gate: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """Objective -> what the gate document says of it: mean logged and estimated, difference with bounds; withheld
    estimates keep their reason only. Empty where the gate had no logged answers."""
    found: dict[str, dict[str, object]] = {}
    checks = gate.get("advice")
    for check in checks if isinstance(checks, list) else []:
        if not isinstance(check, dict) or not str(check.get("name", "")).startswith(PREFIX):
            continue
        objective, reason = str(check["name"]).removeprefix(PREFIX), str(check.get("reason", ""))
        numbers = {
            "logged": check.get("before"),
            "estimated": check.get("after"),
            "difference": check.get("value"),
            "low": check.get("low"),
            "high": check.get("high"),
        }
        usable = check.get("passed") is True and all(map(_finite, numbers.values()))
        found[objective] = {**numbers, "reason": reason} if usable else {"withheld": reason}
    return found


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
