"""Every gauge that a long-lived process reads from the store, for `/metrics` of the gateway."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from ab_testing.telemetry import refresh_experiment_metrics
from infra.metrics import catalogue as metrics
from infra.runtime import Context, Job
from infra.runtime.reporting import refresh_job_metrics
from infra.settings import Settings
from ingest.telemetry import refresh_ingest_metrics
from ingest.trust.jobs import refresh_trust_metrics
from policy_update.telemetry import refresh_policy_metrics
from reward_model.telemetry import refresh_reward_model_metrics
from serving.telemetry import refresh_proof_metrics


class Seldom:
    """Calls `refresh` at most once in `every_seconds`, however often it is asked and by however many threads."""

    def __init__(self, every_seconds: float, refresh: Callable[[], None]) -> None:
        self._every_seconds = every_seconds
        self._refresh = refresh
        self._lock = threading.Lock()
        self._called_at = -float("inf")

    def __call__(self) -> None:
        with self._lock:
            if time.monotonic() - self._called_at >= self._every_seconds:
                self._refresh()
                self._called_at = time.monotonic()  # only a reading that worked is shared


def store_gauges(context: Context, jobs: Sequence[Job]) -> list[Callable[[], None]]:
    """What brings them up to date, part by part: one that fails leaves the others true. For `before_scrape`."""
    parts: list[Callable[[Context], None]] = [
        partial(refresh_job_metrics, jobs=jobs),
        refresh_ingest_metrics,
        refresh_trust_metrics,
        refresh_reward_model_metrics,
        refresh_policy_metrics,
        refresh_experiment_metrics,
        refresh_proof_metrics,
    ]
    show_promises(context.settings)
    every = context.settings.monitoring.refresh_seconds
    return [Seldom(every, partial(part, context)) for part in parts]


def show_promises(settings: Settings) -> None:
    """The promises of `monitoring.*` as gauges, beside which the rules hold what happens."""
    wanted = settings.monitoring
    metrics.SLO_TARGET.labels(slo="availability").set(wanted.availability)
    metrics.SLO_TARGET.labels(slo="first_token").set(wanted.first_token_share)
    metrics.SLO_TARGET.labels(slo="feedback").set(wanted.feedback_availability)
    metrics.SLO_SECONDS.labels(slo="first_token").set(wanted.first_token_seconds)
    metrics.EVENT_LOG_SPOOL_LIMIT.set(settings.event_log.spool_limit_bytes)
