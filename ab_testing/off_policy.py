"""Before anybody is exposed: what answers that are logged already say about a challenger. Advice, and nothing more.

The gate of the policy update has the challenger's weights and computes ratios of probabilities of whole logged answers
(`policy_update.gating.logged`); what it says is in the adapter's gate document and is shown beside the start of the
experiment. Where log-probabilities of both sides are at hand, `logged_advice` gives always-valid bounds. Estimates that
rest on fewer than 100 effective answers are withheld: they are neither a pass nor a veto, and the gate's own scores of
fresh answers remain what is asked before exposure.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from infra.statistics import InvalidStatisticsInput, OffPolicyAdvice, off_policy_advice
from infra.statistics.two_arm import FloatArray

PREFIX = "off_policy_"
"""How checks of the gate document are named that are advice from logged answers."""
LARGEST_LOG_RATIO = 60.0
"""Differences of log-probabilities beyond this (nats) are cut, so that a weight stays a number."""


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


def logged_advice(
    rewards: FloatArray,
    logged_logprobs: FloatArray,
    challenger_logprobs: FloatArray,
    predicted: tuple[FloatArray, FloatArray] | None = None,
) -> OffPolicyAdvice:
    """Advice from logged answers in the order of time: rewards (n,) in [0, 1] and the log-probability (nats) of each
    whole answer under what drew it and under the challenger, at the same temperature, (n,).

    Clipped IPS and DR with always-valid bounds, SNIPS as a point; `predicted` as in `off_policy_advice`. Raises
    InvalidStatisticsInput where a log-probability is missing: an answer left out by what it is would be a selection.
    """
    both = logged_logprobs, challenger_logprobs
    if any(each.shape != rewards.shape or not np.isfinite(each).all() for each in both):
        raise InvalidStatisticsInput(
            f"need a finite log-probability of each of {rewards.size} answers on both sides", field="logprobs"
        )
    weights = np.exp(np.minimum(challenger_logprobs - logged_logprobs, LARGEST_LOG_RATIO))
    return off_policy_advice(rewards, weights, predicted)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
