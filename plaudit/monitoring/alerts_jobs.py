"""Alerts on jobs: by the age of their last success and by failures in a row, never by a single failure."""

from plaudit.monitoring.promql import Alert, Group

_EVERY = "max by (job_name) (plaudit_job_interval_seconds)"
_LONGEST = "max by (job_name) (plaudit_job_deadline_seconds)"
_PAUSED = "max by (job_name) (plaudit_job_paused) > 0"

JOBS_GROUP = Group(
    "plaudit-jobs",
    [
        Alert(
            "JobFailing",
            "max by (job_name) (plaudit_job_failed_runs) > 1",
            300.0,
            "warning",
            "{{ $labels.job_name }} has failed {{ $value }} times in a row",
        ),
        Alert(
            "JobMissing",
            "(time() - max by (job_name) (plaudit_job_last_success_timestamp_seconds)"
            f" > 2 * {_EVERY} + {_LONGEST}) unless on (job_name) ({_PAUSED})",
            300.0,
            "warning",
            "{{ $labels.job_name }} last ended well {{ $value | humanizeDuration }} ago",
        ),
        Alert(
            "JobNeverSucceeded",
            f"{_EVERY} unless on (job_name) plaudit_job_last_success_timestamp_seconds"
            f" unless on (job_name) ({_PAUSED})",
            21600.0,
            "warning",
            "{{ $labels.job_name }} has never ended well here, though it is due every {{ $value | humanizeDuration }}",
        ),
        Alert(
            "JobStuck",
            f"time() - max by (job_name) (plaudit_job_running_since_timestamp_seconds > 0) > {_LONGEST}",
            300.0,
            "warning",
            "{{ $labels.job_name }} has run for {{ $value | humanizeDuration }}, longer than its deadline",
        ),
        Alert(
            "JobPausedLong",
            _PAUSED,
            86400.0,
            "warning",
            "{{ $labels.job_name }} has been paused for more than a day",
        ),
        Alert(
            "LeaseLost",
            "sum by (job_name) (increase(plaudit_job_leases_lost_total[1h])) > 0",
            0.0,
            "warning",
            "{{ $labels.job_name }} was taken over while it ran: its store or its clock stands still at times",
        ),
        Alert(
            "SchedulerStopped",
            "time() - max by (instance) (plaudit_scheduler_heartbeat_timestamp_seconds > 0) > seconds(120)",
            60.0,
            "critical",
            "{{ $labels.instance }}: the scheduler has not looked at its jobs for {{ $value | humanizeDuration }}",
        ),
    ],
)
