"""Gauges of the newest look. The ledger is the record; these are for dashboards and alerts."""

from ab_testing.decisions import Situation, Verdict
from infra.metrics import catalogue


def observe_look(situation: Situation, verdict: Verdict) -> None:
    """Show what a look saw and came to."""
    catalogue.AB_LOOKS.labels(verdict.kind, verdict.code).inc()
    catalogue.AB_RUNNING.set(0 if verdict.kind in ("promote", "rollback", "stop") else 1)
    share = verdict.share if verdict.share is not None else situation.phase.share
    catalogue.AB_TRAFFIC_SHARE.set(0.0 if verdict.kind in ("promote", "rollback", "stop") else share)
    if situation.watermark is not None:
        catalogue.AB_WATERMARK_AGE.set(situation.now - situation.watermark)
    if situation.evidence is None:
        return
    catalogue.AB_SAMPLE_RATIO.set(
        max((situation.evidence.log_e_sample_ratio, *situation.evidence.log_e_sample_ratio_segments.values()))
    )
    for metric in situation.evidence.metrics:
        catalogue.AB_PEOPLE.labels(metric.name, "challenger").set(metric.people_challenger)
        catalogue.AB_PEOPLE.labels(metric.name, "control").set(metric.people_control)
        tests = {
            "better": metric.log_e_better,
            "worse": metric.log_e_worse,
            "not_inferior": metric.log_e_not_inferior,
        }
        for test, log_e in tests.items():
            if log_e is not None:
                catalogue.AB_E_VALUE.labels(metric.name, test).set(log_e)


def observe_rest() -> None:
    """No experiment runs."""
    catalogue.AB_RUNNING.set(0)
    catalogue.AB_TRAFFIC_SHARE.set(0.0)
