"""Gauges of serving: what the store says of every replica, and what this replica makes of the store's champion."""

from infra.metrics import catalogue as metrics
from infra.metrics.showing import show
from infra.runtime import Context
from serving.repository import ServingRepository
from serving.routing_state import RoutingState
from serving.telemetry_repository import TelemetryRepository


def refresh_proof_metrics(context: Context) -> None:
    """Proofs by replica of everything that is wanted now; a `before_scrape` of the operations routes."""
    project = context.settings.project
    with context.database.reading() as connection:
        repository = ServingRepository(connection, project)
        champion, last_proven = repository.champion()
        experiments = repository.running_experiments()
        arms = [ref for experiment in experiments for ref in experiment.arms.values()]
        proofs = TelemetryRepository(connection, project).proofs([champion, last_proven, *arms])
    show(metrics.SERVING_PROOF_REPLICAS, proofs)


def observe_routing(state: RoutingState, now: float) -> None:
    """What this replica routes to; `now` Unix seconds."""
    metrics.SERVING_CHAMPION_PROVEN.set(state.champion in state.servable)
    metrics.SERVING_STATE_AGE.set(now - state.read_at if state.read_at else 0.0)
