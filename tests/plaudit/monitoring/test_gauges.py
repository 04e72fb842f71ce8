"""Gauges that are read from the store, on a store with something in it; on SQLite, then on PostgreSQL."""

import pytest
from sqlalchemy import insert

from ab_testing.service import bootstrap_state
from infra.contracts import ManualClock
from infra.contracts.ids import uuid7_bound
from infra.db import Database
from infra.db.tables import (
    adapter_proofs,
    adapters,
    dead_letters,
    decisions,
    feedback_events,
    interactions,
    job_runs,
    labels,
    reward_models,
)
from infra.event_log import EventLog
from infra.metrics.catalogue import REGISTRY
from infra.runtime import Context
from infra.runtime.pausing import pause
from infra.settings import Settings
from plaudit.jobs import all_jobs
from plaudit.monitoring.gauges import Seldom, store_gauges

HISTORY = [
    {"rewards": {"love": 0.1}, "kl": 0.01, "kl_base": 0.02},
    {"rewards": {"love": 0.4}, "kl": 0.03, "kl_base": 0.2},
]
CHECKS = [{"name": "reward", "passed": False}, {"name": "harm", "passed": False}, {"name": "length", "passed": True}]
REPORT = {
    "heads": {"love": {"auroc": 0.7, "ece": 0.05, "accuracy": {"estimate": 0.6, "low": 0.5, "high": 0.7}, "pairs": 9}},
    "evaluation": {
        "calibration": {"love": {"error": 0.12, "calibrated": False}},
        "drift": {"scores": [{"name": "love", "psi": 0.3}], "reasons": ["score love: PSI 0.30"]},
        "disagreement": {"flips": {"estimate": 0.25}},
    },
}


@pytest.fixture
def context(settings: Settings, clock: ManualClock, database: Database, event_log: EventLog) -> Context:
    return Context(settings, clock, database, event_log)


def shown(context: Context, series: str, /, **labels: str) -> float | None:
    """The value of a series after a refresh."""
    for refresh in store_gauges(context, all_jobs()):
        refresh()
    return REGISTRY.get_sample_value(series, labels)


def write(context: Context, table: object, *rows: dict[str, object]) -> None:
    with context.database.transaction() as connection:
        bootstrap_state(connection, context.settings.project, context.clock.now())
        for row in rows:
            connection.execute(insert(table), {"project": context.settings.project, **row})  # type: ignore[arg-type]


def test_an_empty_store_is_no_failure(context: Context) -> None:
    assert shown(context, "plaudit_job_failed_runs", job_name="label") == 0.0
    assert shown(context, "plaudit_job_interval_seconds", job_name="label") == 60.0
    assert shown(context, "plaudit_experiment_running") == 0.0
    assert shown(context, "plaudit_slo_target_ratio", slo="availability") == 0.999


def test_jobs(context: Context, clock: ManualClock) -> None:
    now = clock.now()
    common = {"holder": "h", "detail": "", "progress": {"fraction": 0.5}, "config_hash": "", "heartbeat_at": now}
    runs = [("done", -90.0, -80.0), ("failed", -60.0, -50.0), ("abandoned", -40.0, -30.0), ("running", -20.0, None)]
    write(context, job_runs, *(
        {"run_id": str(number), "job": "trust", "status": status, "started_at": now + began,
         "ended_at": None if ended is None else now + ended, **common}
        for number, (status, began, ended) in enumerate(runs)
    ))  # fmt: skip
    pause(context, "trust", "cli:ops", "a test")
    trust = {"job_name": "trust"}
    assert shown(context, "plaudit_job_last_success_timestamp_seconds", **trust) == now - 80.0
    assert shown(context, "plaudit_job_failed_runs", **trust) == 2.0
    assert shown(context, "plaudit_job_last_outcome", **trust, outcome="abandoned") == 1.0
    assert shown(context, "plaudit_job_last_outcome", **trust, outcome="done") == 0.0
    assert shown(context, "plaudit_job_last_duration_seconds", **trust) == 10.0
    assert shown(context, "plaudit_job_running_since_timestamp_seconds", **trust) == now - 20.0
    assert shown(context, "plaudit_job_progress_ratio", **trust) == 0.5
    assert shown(context, "plaudit_job_paused", **trust) == 1.0
    assert shown(context, "plaudit_job_paused", job_name="label") == 0.0


def test_ingest_and_labels(context: Context, clock: ManualClock) -> None:
    now, lateness = clock.now(), context.settings.ingest.allowed_lateness_seconds
    label = {"choice": 0, "version": 0, "status": "provisional", "objective_values": {}, "weights": {},
             "events_counted": 1, "config_hash": "", "made_at": now}  # fmt: skip
    write(
        context, labels,
        {"response_id": "old", "window_closes_at": now - lateness - 70.0, **label},
        {"response_id": "new", "window_closes_at": now + 9.0, **label},
    )  # fmt: skip
    letter = {"topic": "t", "partition": 0, "log_offset": 0, "position": 0, "raw": b"", "detail": "",
              "schema_version": 1, "received_at": now}  # fmt: skip
    for number, (reason, status) in enumerate([("conflict", "open"), ("conflict", "open"), ("conflict", "dropped")]):
        write(context, dead_letters, {"letter_id": str(number), "reason": reason, "status": status, **letter})
    # Bytes that nobody can read name no project either.
    write(context, dead_letters, {"letter_id": "x", "project": "", "reason": "undecodable", "status": "open", **letter})
    event = {"choice": 0, "signal": "like", "operation": "set", "other_choice": 0, "derived_at": now,
             "received_at": now, "source": "app"}  # fmt: skip
    for number, (response, age) in enumerate([("known", 100.0), ("unknown", 100.0), ("young", 5.0), ("ancient", 9e4)]):
        event_id = uuid7_bound(now - age)[:-1] + str(number)
        write(context, feedback_events, {"event_id": event_id, "response_id": response, **event})
    write(context, interactions, {"response_id": "known", "conversation_id": "c", "created_at": now, "adapter": "base",
                                  "source": "gateway", "payload": b"", "content_hash": b""})  # fmt: skip
    assert shown(context, "plaudit_label_lag_seconds") == pytest.approx(70.0)
    assert shown(context, "plaudit_label_overdue_labels") == 1.0
    assert shown(context, "plaudit_ingest_open_dead_letters", reason="conflict") == 2.0
    assert shown(context, "plaudit_ingest_open_dead_letters", reason="undecodable") == 1.0
    assert shown(context, "plaudit_ingest_unattributed_ratio") == 0.5


def test_reward_model_and_policy(context: Context, clock: ManualClock) -> None:
    model = {"name": context.settings.reward_model.name, "path": "/x", "base_model_hash": "b", "file_hashes": {},
             "data_hash": "d", "labels_used": 9, "labels_as_of": "1", "run_id": "", "created_at": 7.0}  # fmt: skip
    write(context, reward_models, {"version": 1, "state": "champion", "metrics": {}, **model},
          {"version": 2, "state": "challenger", "metrics": REPORT, **model})  # fmt: skip
    adapter = {"name": "loop", "path": "/x", "base_model_hash": "b", "file_hashes": {}, "fingerprint": {},
               "parent": "base", "run_id": "", "lineage": {}, "state": "refused"}  # fmt: skip
    write(
        context, adapters,
        {"version": 1, "gate": {"checks": CHECKS, "history": []}, "created_at": 1.0, **adapter},
        {"version": 2, "gate": {"checks": CHECKS[:1], "history": HISTORY}, "created_at": 2.0, **adapter},
    )  # fmt: skip
    assert shown(context, "plaudit_reward_model_champion_version") == 1.0
    assert shown(context, "plaudit_reward_model_version", name=model["name"]) == 2.0  # type: ignore[arg-type]
    assert shown(context, "plaudit_reward_model_held_out_ratio", head="love", measure="accuracy.low") == 0.5
    assert shown(context, "plaudit_reward_model_calibration_error_ratio", head="love") == 0.12
    assert shown(context, "plaudit_reward_model_drift_psi_nats", head="love") == 0.3
    assert shown(context, "plaudit_reward_model_drift_reasons") == 1.0
    assert shown(context, "plaudit_reward_model_disagreement_ratio") == 0.25
    assert shown(context, "plaudit_policy_gate_refused_adapters", check="reward") == 2.0
    assert shown(context, "plaudit_policy_gate_refused_adapters", check="harm") == 1.0
    assert shown(context, "plaudit_policy_gate_refused_adapters", check="length") is None
    assert shown(context, "plaudit_policy_adapters", state="refused") == 2.0
    assert shown(context, "plaudit_policy_update_reward_mean", objective="love") == 0.4
    assert shown(context, "plaudit_policy_update_kl_nats", against="base") == 0.2
    assert shown(context, "plaudit_policy_kl_budget_nats", against="base") == 0.6


def test_ledger_and_proofs(context: Context, clock: ManualClock) -> None:
    ledger = {"experiment_id": "e", "reason": "", "evidence": {}, "config_hash": "", "watermark": 1.0,
              "previous_hash": "", "hash": ""}  # fmt: skip
    for number, (kind, at) in enumerate([("start", 5.0), ("rollback", 6.0), ("rollback", 9.0)], 1):
        row = {"sequence": number, "decision_id": str(number), "kind": kind, "decided_at": at, **ledger}
        write(context, decisions, row)
    for replica, status in (("one", "proven"), ("two", "proven"), ("three", "refused")):
        write(context, adapter_proofs, {"replica": replica, "adapter": "base", "status": status, "detail": {},
                                        "proved_at": 1.0})  # fmt: skip
    assert shown(context, "plaudit_experiment_ledger_rows", kind="rollback") == 2.0
    assert shown(context, "plaudit_experiment_last_decision_timestamp_seconds", kind="rollback") == 9.0
    assert shown(context, "plaudit_serving_proof_replicas", adapter="base", status="proven") == 2.0
    assert shown(context, "plaudit_serving_proof_replicas", adapter="base", status="refused") == 1.0


def test_scrapes_close_together_share_one_reading_and_a_failed_one_is_not_shared() -> None:
    calls: list[int] = []

    def sometimes() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("away")

    seldom = Seldom(60.0, sometimes)
    with pytest.raises(ConnectionError):
        seldom()
    for _ in range(3):
        seldom()
    assert len(calls) == 2
