"""Metrics of jobs, most of which a long-lived process reads from the store, as a job may end before anybody scrapes it;
part of the catalogue. The label is `job_name`: Prometheus itself calls a scrape's target group `job`."""

from prometheus_client import Counter, Gauge, Histogram

from infra.metrics.buckets import JOB_SECONDS
from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

JOB_LAST_DURATION = Gauge(
    "plaudit_job_last_duration_seconds", "How long the newest ended run took.", ["job_name"], registry=REGISTRY
)
JOB_LAST_OUTCOME = Gauge(
    "plaudit_job_last_outcome",
    "1 for how the newest ended run ended, 0 for the rest: done, skipped, deferred, failed, abandoned.",
    ["job_name", "outcome"],
    registry=REGISTRY,
)
JOB_FAILED_RUNS = Gauge(
    "plaudit_job_failed_runs",
    "Runs that failed or were abandoned since the last that ended done or skipped.",
    ["job_name"],
    registry=REGISTRY,
)
JOB_INTERVAL = Gauge(
    "plaudit_job_interval_seconds",
    "Longest time between two runs by the job's own declaration; no sample for a job that never runs by itself.",
    ["job_name"],
    registry=REGISTRY,
)
JOB_DEADLINE = Gauge(
    "plaudit_job_deadline_seconds", "How long a run may take by the job's own declaration.", ["job_name"],
    registry=REGISTRY,
)  # fmt: skip
JOB_PAUSED = Gauge(
    "plaudit_job_paused", "1 while a person has paused the job, else 0.", ["job_name"], registry=REGISTRY
)
JOB_RUNNING_SINCE = Gauge(
    "plaudit_job_running_since_timestamp_seconds",
    "When the run in progress began, Unix seconds; 0 when none is.",
    ["job_name"],
    registry=REGISTRY,
)
JOB_RUNS = Counter(
    "plaudit_job_runs_total",
    "Runs that ended, by outcome: done, skipped, failed, deferred.",
    ["job_name", "outcome"],
    registry=REGISTRY,
)
JOB_DURATION = Histogram(
    "plaudit_job_duration_seconds", "Duration of runs.", ["job_name"], buckets=JOB_SECONDS, registry=REGISTRY
)
JOB_RUNNING = Gauge(
    "plaudit_job_running", "1 while this process, or a child of it, runs the job.", ["job_name"], registry=REGISTRY
)
JOB_LAST_SUCCESS = Gauge(
    "plaudit_job_last_success_timestamp_seconds",
    "When the job last ended done or skipped, Unix seconds, from the store: alert on its age, not on single failures.",
    ["job_name"],
    registry=REGISTRY,
)
JOB_PROGRESS = Gauge(
    "plaudit_job_progress_ratio",
    "How far the run in progress is, 0 to 1; 0 when none runs.",
    ["job_name"],
    registry=REGISTRY,
)
LEASE_LOST = Counter(
    "plaudit_job_leases_lost_total",
    "Leases that another holder took while the job was still running.",
    ["job_name"],
    registry=REGISTRY,
)
SCHEDULER_HEARTBEAT = OnceSet(
    "plaudit_scheduler_heartbeat_timestamp_seconds",
    "When the scheduler last looked at its jobs, Unix seconds.",
    registry=REGISTRY,
)
