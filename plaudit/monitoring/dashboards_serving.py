"""Dashboards of what people get, and of the jobs behind it."""

from plaudit.monitoring.panels import Dashboard, Panel

_R = "[$__rate_interval]"

SERVING = Dashboard(
    "plaudit-serving",
    "Plaudit: serving",
    "What people get: requests, latency, tokens, adapters and their proofs, routes.",
    [
        (
            "Requests",
            [
                Panel(
                    "Answered",
                    [(f"sum by (outcome) (rate(plaudit_serving_request_duration_seconds_count{_R}))", "{{outcome}}")],
                    "rate",
                ),
                Panel(
                    "Refused by code",
                    [(f"sum by (code) (rate(plaudit_serving_requests_refused_total{_R}))", "{{code}}")],
                    "rate",
                ),
                Panel(
                    "First token",
                    [
                        (
                            f"histogram_quantile({q},"
                            f" sum by (le) (rate(plaudit_serving_first_token_seconds_bucket{_R})))",
                            f"{q:.0%}",
                        )
                        for q in (0.5, 0.95, 0.99)
                    ],
                    "seconds",
                ),
                Panel("Tokens", [(f"sum by (kind) (rate(plaudit_serving_tokens_total{_R}))", "{{kind}}")], "rate"),
                Panel("Queue", [("sum by (instance) (plaudit_serving_queue_rows)", "{{instance}}")], threshold=16),
                Panel(
                    "Answers computed together",
                    [
                        (
                            f"sum(rate(plaudit_serving_batch_rows_sum{_R}))"
                            f" / sum(rate(plaudit_serving_batch_rows_count{_R}))",
                            "mean",
                        )
                    ],
                ),
            ],
        ),
        (
            "Adapters",
            [
                Panel(
                    "Champion proven by replica",
                    [("min by (instance) (plaudit_serving_champion_proven)", "{{instance}}")],
                    "on",
                    "state-timeline",
                ),
                Panel(
                    "Replicas by what they say",
                    [("max by (adapter, status) (plaudit_serving_proof_replicas)", "{{adapter}} {{status}}")],
                ),
                Panel(
                    "Tokens by adapter",
                    [
                        (
                            f'sum by (adapter) (rate(plaudit_serving_tokens_total{{kind="completion"}}{_R}))',
                            "{{adapter}}",
                        )
                    ],
                    "rate",
                    stacked=True,
                ),
                Panel("Routes", [(f"sum by (why) (rate(plaudit_serving_routes_total{_R}))", "{{why}}")], "rate"),
                Panel(
                    "Age of what the gateway knows",
                    [("max by (instance) (plaudit_serving_state_age_seconds)", "{{instance}}")],
                    "seconds",
                ),
                Panel(
                    "Breakers",
                    [
                        (f"sum by (signal) (increase(plaudit_serving_breaker_trips_total{_R}))", "{{signal}}"),
                        ("max(plaudit_serving_tripped_arms_active)", "arms given up"),
                    ],
                ),
            ],
        ),
    ],
)

JOBS = Dashboard(
    "plaudit-jobs",
    "Plaudit: jobs",
    "What runs on a schedule: when it last ended well, how long it takes, how it ends.",
    [
        (
            "Schedule",
            [
                Panel(
                    "Since the last success, in intervals",
                    [
                        (
                            "(time() - max by (job_name) (plaudit_job_last_success_timestamp_seconds))"
                            " / max by (job_name) (plaudit_job_interval_seconds)",
                            "{{job_name}}",
                        )
                    ],
                    what="1: just due. Above 2 and a deadline the alert JobMissing fires.",
                    width=12,
                ),
                Panel(
                    "Failures since the last success",
                    [("max by (job_name) (plaudit_job_failed_runs)", "{{job_name}}")],
                    threshold=1,
                    width=12,
                ),
                Panel(
                    "Last duration",
                    [("max by (job_name) (plaudit_job_last_duration_seconds)", "{{job_name}}")],
                    "seconds",
                ),
                Panel("Progress", [("max by (job_name) (plaudit_job_progress_ratio)", "{{job_name}}")], "ratio"),
                Panel(
                    "How the newest run ended",
                    [("max by (job_name, outcome) (plaudit_job_last_outcome == 1)", "{{job_name}} {{outcome}}")],
                    "on",
                    "state-timeline",
                ),
                Panel("Paused", [("max by (job_name) (plaudit_job_paused)", "{{job_name}}")], "on", "state-timeline"),
                Panel(
                    "Runs by outcome",
                    [(f"sum by (outcome) (rate(plaudit_job_runs_total{_R}))", "{{outcome}}")],
                    "rate",
                ),
                Panel(
                    "Scheduler and leases",
                    [
                        (
                            "time() - max by (instance) (plaudit_scheduler_heartbeat_timestamp_seconds > 0)",
                            "{{instance}}",
                        ),
                        ("sum by (job_name) (increase(plaudit_job_leases_lost_total[1h]))", "lost {{job_name}}"),
                    ],
                    "seconds",
                ),
            ],
        ),
        (
            "Store",
            [
                Panel(
                    "Write transactions, 99th percentile",
                    [
                        (
                            "histogram_quantile(0.99, sum by (le, outcome)"
                            f" (rate(plaudit_store_transaction_duration_seconds_bucket{_R})))",
                            "{{outcome}}",
                        )
                    ],
                    "seconds",
                ),
                Panel(
                    "Rows and records that grew too old",
                    [("sum by (kind) (increase(plaudit_retention_removed_total[1h]))", "{{kind}}")],
                ),
                Panel(
                    "Errors", [(f"sum by (component, code) (rate(plaudit_errors_total{_R}))", "{{component}} {{code}}")]
                ),
            ],
        ),
    ],
)
