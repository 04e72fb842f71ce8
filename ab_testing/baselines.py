"""What is known before an experiment begins: who comes, each metric's mean among the champion's people, and from these
the rules it begins with."""

from dataclasses import dataclass

from sqlalchemy import Connection

from ab_testing.discoveries import allowance, stream_of
from ab_testing.exposures import freeze_after_of, freeze_after_seconds
from ab_testing.freezing import window_of
from ab_testing.planning import DAY_SECONDS, Baseline, baseline_of, ramp_at_start, with_expected_rates
from ab_testing.planning_repository import TrafficRepository, Window
from ab_testing.repository import ExperimentRepository
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

SAMPLE = 5000
"""Most people whose values are read for a plan's mean and variance."""
START_SAMPLE, START_DAYS = 2000, 14.0
"""For the start of an experiment: people, and how far back, in days."""
LEAST_DAYS = 1 / 24
"""A project younger than this is taken to be this old: five people in a first second are no traffic."""


@dataclass(frozen=True)
class Traffic:
    """`people` different people seen in `days` (less than was asked for where the project is younger), the share of
    all people on whom an experiment may draw, and every metric's baseline."""

    people: int
    days: float
    drawn: float
    baselines: dict[str, Baseline]

    @property
    def per_day(self) -> float:
        """New people a day."""
        return self.people / self.days


def traffic_of(context: Context, connection: Connection, days: float, sample: int = SAMPLE) -> Traffic:
    """What came in the last `days`; baselines from at most `sample` people."""
    now, settings = context.clock.now(), context.settings
    metrics, project = settings.ab_testing.metrics, settings.project
    traffic = TrafficRepository(connection, project, now - days * DAY_SECONDS, now)
    people, first = traffic.people()
    windows = {metric.name: window_at_start(metric, settings) for metric in metrics}
    values = traffic.values(metrics, sample, windows)
    known = {metric.name: baseline_of(metric, values[metric.name]) for metric in metrics}
    held_back = bool(ExperimentRepository(connection, project).running("holdback"))
    seen = min(days, max((now - first) / DAY_SECONDS, LEAST_DAYS)) if people else days
    return Traffic(people, seen, drawn_share(settings.ab_testing, held_back), known)


def window_at_start(metric: MetricSettings, settings: Settings) -> Window:
    """What of a person counts in an experiment that begins now."""
    validity = settings.ingest.validity
    return Window(
        window_of(metric, settings.ab_testing),
        freeze_after_of(metric, settings),
        validity.day_seconds,
        validity.return_days,
    )


def drawn_share(rules: AbTestingSettings, held_back: bool) -> float:
    """The share of all people on whom a challenge draws: what the holdout and a running holdback leave."""
    return max(0.0, 1.0 - rules.holdout_share - (2 * rules.holdback_share if held_back else 0.0))


def rules_at_start(context: Context) -> AbTestingSettings:
    """The rules of an experiment that begins now: every expected rate that is not set is what the champion's people
    did before, and the ramp begins at the step that the traffic asks for (`planning.ramp_at_start`). Both are fixed
    before the first person is counted, so that a wrong one costs people or time, never errors."""
    settings = context.settings
    with context.database.reading() as connection:
        seen = traffic_of(context, connection, START_DAYS, START_SAMPLE)
        repository = ExperimentRepository(connection, settings.project)
        candidates = len(repository.waiting_challengers(settings.ab_testing.max_candidates))
        stream = stream_of(repository.ends(), settings.ab_testing.fdr_since)
    rules = with_expected_rates(settings.ab_testing, seen.baselines)
    allowed = allowance(stream, rules)
    threshold = allowed.log_threshold if allowed.procedure != "none" else float("-inf")
    after = freeze_after_seconds(settings)
    ramp = ramp_at_start(rules, seen.baselines, seen.per_day * seen.drawn, threshold, after, max(candidates, 1))
    return rules.model_copy(update={"ramp_shares": ramp})
