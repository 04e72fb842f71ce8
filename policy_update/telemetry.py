"""Gauges of the policy update that are read from the store: training is a process of its own."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from infra.contracts import BASE_ADAPTER
from infra.metrics import catalogue as metrics
from infra.metrics.showing import show
from infra.runtime import Context
from policy_update import repository
from policy_update.chain import kl_to_base
from policy_update.telemetry_repository import TelemetryRepository

RECENT_ADAPTERS = 200
"""Newest adapters whose refusals are counted: a gate document is some kilobytes."""


def refresh_policy_metrics(context: Context) -> None:
    """Bring them up to date; a `before_scrape` of the operations routes."""
    settings = context.settings
    with context.database.reading() as connection:
        telemetry = TelemetryRepository(connection, settings.project)
        states, newest = telemetry.states(), telemetry.newest(RECENT_ADAPTERS)
        champion = repository.champion(connection, settings.project)
        chain = repository.chain_to_base(connection, settings.project, champion)
    show(metrics.POLICY_ADAPTERS, {(state,): count for state, count in states.items()})
    gates = [row["gate"] for row in newest if row["state"] == "refused"]
    show(metrics.GATE_REFUSALS, {(check,): count for check, count in refusals(gates).most_common()})
    distance = 0.0 if champion == BASE_ADAPTER or not chain else kl_to_base(chain[0]["gate"])
    metrics.CHAMPION_KL.set(0.0 if math.isnan(distance) else distance)
    metrics.KL_BUDGET.labels(against="champion").set(settings.policy_update.gate.kl_to_champion)
    metrics.KL_BUDGET.labels(against="base").set(settings.policy_update.gate.kl_to_base)
    if newest:
        metrics.POLICY_MADE.set(newest[0]["created_at"])
    trained = next((row["gate"]["history"] for row in newest if row["gate"].get("history")), None)
    if trained:
        _show_step(trained[-1])


def refusals(gates: list[Mapping[str, Any]]) -> "Counter[str]":
    """Check -> how many of the gate documents it failed in."""
    return Counter(
        str(check["name"]) for gate in gates for check in gate.get("checks", ()) if not check.get("passed", True)
    )


def _show_step(step: Mapping[str, Any]) -> None:
    rewards = {(name,): number(value) for name, value in step.get("rewards", {}).items()}
    show(metrics.POLICY_REWARD, rewards)
    metrics.POLICY_KL.labels(against="champion").set(number(step.get("kl", 0.0)))
    metrics.POLICY_KL.labels(against="base").set(number(step.get("kl_base", 0.0)))


def number(value: Any) -> float:
    """A number of a gate document, where one that is not finite stands as a string."""
    return float(value)
