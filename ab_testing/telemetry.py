"""Gauges of experiments that are read from the store: true whichever process decides, even one that then ends.

A process that decided would go on showing what it saw last, whatever another has decided since.
"""

import math
from collections.abc import Mapping

from ab_testing.decisions_situation import boundary
from ab_testing.evidence import Evidence
from ab_testing.looking import current_watermark
from ab_testing.repository import ExperimentRepository
from ab_testing.sentinel import sentinel_alarm
from ab_testing.standing import evidence_of, rules_of
from ab_testing.telemetry_repository import TelemetryRepository
from infra.contracts import Arm, Decision, Experiment
from infra.metrics import catalogue as metrics
from infra.metrics.showing import show
from infra.runtime import Context


def refresh_experiment_metrics(context: Context) -> None:
    """Bring them up to date; a `before_scrape` of the operations routes."""
    project = context.settings.project
    watermark = current_watermark(context)
    with context.database.reading() as connection:
        repository, telemetry = ExperimentRepository(connection, project), TelemetryRepository(connection, project)
        ledger, tripped = telemetry.ledger(), telemetry.tripped_arms()
        alarm = sentinel_alarm(connection, project)
        running = repository.running()
        experiment = running[0] if running else None
        last = None if experiment is None else repository.last_decision(experiment.experiment_id)
        evidence = {} if experiment is None else evidence_of(connection, experiment)
    show(metrics.AB_LEDGER, {(kind,): row.rows for kind, row in ledger.items()})
    show(metrics.AB_DECIDED, {(kind,): row.newest for kind, row in ledger.items()})
    metrics.SERVING_TRIPPED_ARMS.set(tripped)
    metrics.AB_SENTINEL_ALARM.set(1 if alarm else 0)
    if watermark is not None:
        metrics.AB_WATERMARK_AGE.set(context.clock.now() - watermark)
    _show_hold(last)
    if experiment is None:
        _show_rest()
    else:
        _show_running(experiment, evidence)


def sample_ratio(evidence: Evidence) -> float:
    """The highest logarithm (nats) of an e-value that people do not land in the arms as they should: of all people, or
    of a segment."""
    return max((evidence.log_e_sample_ratio, *evidence.log_e_sample_ratio_segments.values()))


def _show_hold(last: Decision | None) -> None:
    held = last is not None and last.kind == "hold"
    code = str(last.evidence.get("code", "")) if last is not None and held else ""
    show(metrics.AB_HOLD, {(code,): 1.0} if held else {})
    metrics.AB_HELD_SINCE.set(last.decided_at if last is not None and held else 0.0)


def _show_rest() -> None:
    for gauge in (metrics.AB_RUNNING, metrics.AB_TRAFFIC_SHARE, metrics.AB_STARTED, metrics.AB_SAMPLE_RATIO):
        gauge.set(0.0)
    show(metrics.AB_PEOPLE, {})
    show(metrics.AB_E_VALUE, {})


def _show_running(experiment: Experiment, evidence: Mapping[Arm, Evidence]) -> None:
    """Of several candidates the numbers are those of the first that remains, the sample ratio the worst of all."""
    rules = rules_of(experiment)
    metrics.AB_RUNNING.set(1)
    metrics.AB_STARTED.set(experiment.started_at)
    metrics.AB_TRAFFIC_SHARE.set(experiment.phase.share)
    first = evidence[next(iter(experiment.remaining))]
    metrics.AB_SAMPLE_RATIO.set(max(sample_ratio(found) for found in evidence.values()))
    segments = max(len(found.log_e_sample_ratio_segments) for found in evidence.values())
    metrics.AB_SAMPLE_RATIO_BOUNDARY.set(boundary(rules.srm_alpha, 1 + segments))
    people, e_values = {}, {}
    for metric in first.metrics:
        people[(metric.name, "challenger")] = float(metric.people_challenger)
        people[(metric.name, "control")] = float(metric.people_control)
        e_values[(metric.name, "better")] = metric.log_e_better
        e_values[(metric.name, "worse")] = metric.log_e_worse
        e_values[(metric.name, "not_inferior")] = metric.log_e_not_inferior
    show(metrics.AB_PEOPLE, people)
    known = {key: value for key, value in e_values.items() if value is not None and math.isfinite(value)}
    show(metrics.AB_E_VALUE, known)
