"""For every alert one history in which it fires and one in which it stays silent, minute by minute from instant 0.

Values are in promtool's notation: `5x60` is 5 and sixty more of it, `0+60x60` grows by 60 a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """`fires` and `silent`: series -> values; both are asked at minute `at`."""

    alert: str
    fires: Series
    silent: Series
    at: int


def one(alert: str, series: str, fires: str, silent: str, at: int, beside: Series | None = None) -> Case:
    """A case of one series, and of others that are the same in both histories."""
    more = beside or {}
    return Case(alert, {series: fires, **more}, {series: silent, **more}, at)


def burn(alert: str, bad: str, good: str, slo: str, target: float, minutes: int) -> list[Case]:
    """An alert's three speeds: nine of ten events are bad for long enough; one in 100,000 is, or none any more."""
    promised = {f'plaudit_slo_target_ratio{{slo="{slo}"}}': f"{target}x{minutes}"}
    storm = {bad: f"0+900x{minutes}", good: f"0+100x{minutes}", **promised}
    calm = {bad: f"0+1x{minutes}", good: f"0+100000x{minutes}", **promised}
    over = {bad: f"0+900x{minutes // 2} {900 * (minutes // 2)}x{minutes}", good: f"0+1000x{minutes}", **promised}
    cases = [Case(f"{alert}{speed}", storm, calm, minutes) for speed in ("Fast", "Steady", "Slow")]
    return [*cases, Case(f"{alert}Fast", storm, over, minutes)]


INSTANCE = 'instance="a:8080",job="plaudit"'
REFUSED = 'plaudit_serving_requests_refused_total{code="engine_failed"}'
ANSWERED = 'plaudit_serving_request_duration_seconds_count{outcome="ok",stream="false"}'
IN_TIME = 'plaudit_serving_first_token_seconds_bucket{le="2.5"}'
FAILED = 'plaudit_event_log_append_failures_total{code="event_log_unavailable",topic="plaudit.feedback"}'
APPENDED = 'plaudit_event_log_appended_records_total{topic="plaudit.feedback"}'
DUE = {
    'plaudit_job_interval_seconds{job_name="label"}': "600x2000",
    'plaudit_job_deadline_seconds{job_name="label"}': "300x2000",
}
SUCCEEDED = 'plaudit_job_last_success_timestamp_seconds{job_name="label"}'
PAUSED = 'plaudit_job_paused{job_name="label"}'
CALIBRATION = 'plaudit_reward_model_calibration_error_ratio{head="love"}'
KL_BUDGETS = {
    'plaudit_policy_kl_budget_nats{against="base"}': "0.6x20",
    'plaudit_policy_kl_budget_nats{against="champion"}': "0.25x20",
}


def late_tokens() -> list[Case]:
    """Nine of ten first tokens are late; or all but one in 100,000 come in time."""
    promised = {'plaudit_slo_target_ratio{slo="first_token"}': "0.95x800"}
    count = "plaudit_serving_first_token_seconds_count"
    storm = {IN_TIME: "0+100x800", count: "0+1000x800", **promised}
    calm = {IN_TIME: "0+99999x800", count: "0+100000x800", **promised}
    return [Case(f"FirstTokenLate{speed}", storm, calm, 800) for speed in ("Fast", "Steady", "Slow")]


CASES: tuple[Case, ...] = (
    *burn("GatewayErrors", REFUSED, ANSWERED, "availability", 0.999, 800),
    *burn("FeedbackRefused", FAILED, APPENDED, "feedback", 0.999, 800),
    *late_tokens(),
    one("ConsumerStopped", 'plaudit_ingest_applied_through_timestamp_seconds{kind="feedback"}', "60x9", "0+60x9", 6),
    one("ConsumerLagging", 'plaudit_ingest_consumer_lag_records{kind="feedback"}', "20000x30", "5000x30", 20),
    one(
        "ConsumerFailing",
        'plaudit_ingest_consumer_failures_total{error="OperationalError",kind="feedback"}',
        "0+2x30",
        "0x10 1x20",
        20,
    ),
    one("DeadLetters", 'plaudit_ingest_open_dead_letters{reason="conflict"}', "1x10", "0x10", 8),
    one(
        "FeedbackRejected",
        'plaudit_ingest_rejected_total{kind="feedback",reason="unknown_signal"}',
        "0+50x60",
        "0+1x60",
        40,
        {'plaudit_ingest_accepted_total{kind="feedback"}': "0+100x60"},
    ),
    one("FeedbackUnattributed", "plaudit_ingest_unattributed_ratio", "0.2x30", "0.01x30", 20),
    one("LabelLag", "plaudit_label_lag_seconds", "1000x20", "100x20", 10),
    one("TrustConcentrated", "plaudit_trust_top_ten_ratio", "0.8x80", "0.2x80", 70),
    one("EventLogDown", f"plaudit_event_log_healthy{{{INSTANCE}}}", "1 0x10", "1x10", 8),
    one(
        "SpoolFilling",
        f"plaudit_event_log_spool_bytes{{{INSTANCE}}}",
        "500x20",
        "100x20",
        10,
        {f"plaudit_event_log_spool_limit_bytes{{{INSTANCE}}}": "1000x20"},
    ),
    one("SpoolProcessAway", f"plaudit_event_log_spool_process_up{{{INSTANCE}}}", "1 0x10", "1 0x3 1x7", 8),
    one("TargetDown", f"up{{{INSTANCE}}}", "1 0x10", "1x10", 5),
    one("NoGateway", f"up{{{INSTANCE}}}", "1 1 stale", "1x10", 8),
    one("NoGateway", f"up{{{INSTANCE}}}", "0x10", "1x10", 8, {'up{instance="c",job="consumer"}': "1x10"}),
    one("ComponentNotReady", f'plaudit_component_ready{{component="adapter",{INSTANCE}}}', "0x10", "0x4 1x6", 8),
    one("ChampionStale", f"plaudit_serving_champion_proven{{{INSTANCE}}}", "0x10", "0x4 1x6", 8),
    one("AdapterUnproven", f'plaudit_serving_adapter_proven{{adapter="style@3",{INSTANCE}}}', "0x10", "1x10", 8),
    one("RoutingStateStale", f"plaudit_serving_state_age_seconds{{{INSTANCE}}}", "0+60x10", "1x10", 8),
    one("InteractionsUnlogged", f"plaudit_serving_interactions_unlogged_total{{{INSTANCE}}}", "0x5 1x5", "3x10", 8),
    one("BreakerOpened", f"plaudit_serving_tripped_arms_active{{{INSTANCE}}}", "0x2 1x9", "0x10", 5),
    one("GatewayQueueing", f"plaudit_serving_queue_rows{{{INSTANCE}}}", "40x20", "40 0 40 0 40x4 0 40x4 0 40 0", 12),
    one("JobFailing", 'plaudit_job_failed_runs{job_name="label"}', "0 1 2x9", "0 1x9", 10),
    one("JobMissing", SUCCEEDED, "60x60", "0+60x60", 40, DUE),
    Case("JobMissing", {SUCCEEDED: "60x60", **DUE}, {SUCCEEDED: "60x60", **DUE, PAUSED: "1x60"}, 40),
    Case("JobNeverSucceeded", DUE, {SUCCEEDED: "60x2000", **DUE}, 400),
    one(
        "JobStuck",
        'plaudit_job_running_since_timestamp_seconds{job_name="label"}',
        "60x60",
        "60x3 0x60",
        20,
        {'plaudit_job_deadline_seconds{job_name="label"}': "300x60"},
    ),
    one("JobPausedLong", 'plaudit_job_paused{job_name="trust"}', "1x1500", "1x600 0x900", 1450),
    one("LeaseLost", 'plaudit_job_leases_lost_total{job_name="label"}', "0x5 1x5", "1x10", 8),
    one("SchedulerStopped", f"plaudit_scheduler_heartbeat_timestamp_seconds{{{INSTANCE}}}", "60x9", "0+60x9", 6),
    one("RewardModelDrift", 'plaudit_reward_model_drift_psi_nats{head="love"}', "0.4x20", "0.1x20", 15),
    one("RewardModelMiscalibrated", CALIBRATION, "0.2x20", "0.03x20", 15),
    one("RewardModelDisagrees", "plaudit_reward_model_disagreement_ratio", "0.4x20", "0.1x20", 15),
    one(
        "KlBudgetNearlySpent",
        "plaudit_policy_champion_kl_to_base_nats",
        "0.5x20",
        "0.3x20",
        15,
        KL_BUDGETS,
    ),
    Case(
        "GateRefusesAll",
        {'plaudit_policy_adapters{state="refused"}': "12x90", 'plaudit_policy_adapters{state="candidate"}': "2x90"},
        {'plaudit_policy_adapters{state="refused"}': "12x90", 'plaudit_policy_adapters{state="retired"}': "1x90"},
        80,
    ),
    one(
        "SampleRatioMismatch",
        "plaudit_experiment_sample_ratio_log_e_value_nats",
        "9x10",
        "2x10",
        5,
        {"plaudit_experiment_sample_ratio_boundary_nats": "6.9x10", "plaudit_experiment_running": "1x10"},
    ),
    Case(
        "SampleRatioMismatch",
        {
            "plaudit_experiment_sample_ratio_log_e_value_nats": "9x10",
            "plaudit_experiment_sample_ratio_boundary_nats": "6.9x10",
            "plaudit_experiment_running": "1x10",
        },
        {
            "plaudit_experiment_sample_ratio_log_e_value_nats": "9x10",
            "plaudit_experiment_sample_ratio_boundary_nats": "6.9x10",
            "plaudit_experiment_running": "0x10",
        },
        5,
    ),
    one("ExperimentHeldLong", "plaudit_experiment_held_since_timestamp_seconds", "60x5000", "60x4000 0x1000", 4900),
    one(
        "RollbackHappened",
        'plaudit_experiment_last_decision_timestamp_seconds{kind="rollback"}',
        "3000x100",
        "60x100",
        70,
    ),
    one("SelfTestFailing", "plaudit_experiment_self_test_effects_missing", "1x5", "0x5", 3),
    one("SentinelAlarm", "plaudit_experiment_sentinel_alarms_waiting", "1x5", "0x5", 3),
)  # fmt: skip
