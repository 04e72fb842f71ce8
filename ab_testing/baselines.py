"""What is known of every metric before an experiment begins: its mean among the champion's people of late."""

from sqlalchemy import Connection

from ab_testing.planning import DAY_SECONDS, Baseline, baseline_of, with_expected_rates
from ab_testing.planning_repository import TrafficRepository
from infra.runtime import Context
from infra.settings.ab_testing import AbTestingSettings

SAMPLE = 5000
"""Most people whose values are read for a plan's mean and variance."""
START_SAMPLE, START_DAYS = 2000, 14.0
"""For the start of an experiment: people, and how far back, in days."""


def traffic_of(
    context: Context, connection: Connection, days: float, sample: int = SAMPLE
) -> tuple[int, dict[str, Baseline]]:
    """Different people seen in the last `days`, and every metric's baseline from at most `sample` of them."""
    now, metrics = context.clock.now(), context.settings.ab_testing.metrics
    traffic = TrafficRepository(connection, context.settings.project, now - days * DAY_SECONDS, now)
    people, values = traffic.people(), traffic.values(metrics, sample)
    return people, {metric.name: baseline_of(metric, values[metric.name]) for metric in metrics}


def rules_at_start(context: Context) -> AbTestingSettings:
    """The rules of an experiment that begins now: every expected rate that is not set is what the champion's people
    did before. A wrong one costs people, never errors, since it is fixed before the first person is counted."""
    with context.database.reading() as connection:
        _people, known = traffic_of(context, connection, START_DAYS, START_SAMPLE)
    return with_expected_rates(context.settings.ab_testing, known)
