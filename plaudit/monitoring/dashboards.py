"""All dashboards: `infra/deploy/grafana/dashboards/` is these, written by `plaudit config dashboards`."""

from plaudit.monitoring.dashboards_learning import EXPERIMENTS, LABELS
from plaudit.monitoring.dashboards_serving import JOBS, SERVING
from plaudit.monitoring.panels import Dashboard, Panel

_R = "[$__rate_interval]"


def stat(title: str, expression: str, unit: str = "count", what: str = "", threshold: float | None = None) -> Panel:
    """One number of now."""
    return Panel(title, [(expression, "")], unit, "stat", width=4, height=4, what=what, threshold=threshold)


LOOP = Dashboard(
    "plaudit-loop",
    "Plaudit: the loop",
    "From feedback to decision, on one page: does every step move, and is it well?",
    [
        (
            "Now",
            [
                stat("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)', threshold=1),
                stat(
                    "Applied through",
                    "1000 * min(plaudit_ingest_applied_through_timestamp_seconds > 0)",
                    "ago",
                    "Everything appended before this has reached the store.",
                ),
                stat("Newest final label", "1000 * max(plaudit_label_newest_timestamp_seconds > 0)", "ago"),
                stat("Newest reward model", "1000 * max(plaudit_reward_model_made_timestamp_seconds > 0)", "ago"),
                stat("Newest adapter", "1000 * max(plaudit_policy_update_made_timestamp_seconds > 0)", "ago"),
                stat("Experiment runs", "max(plaudit_experiment_running)", "on"),
            ],
        ),
        (
            "Feedback and labels",
            [
                Panel(
                    "Feedback by fate",
                    [
                        (f'sum(rate(plaudit_ingest_accepted_total{{kind="feedback"}}{_R}))', "accepted"),
                        (f'sum(rate(plaudit_ingest_applied_total{{kind="feedback"}}{_R}))', "applied"),
                        (f"sum(rate(plaudit_ingest_rejected_total{_R}))", "rejected"),
                        (f"sum(rate(plaudit_ingest_dead_letters_total{_R}))", "dead letters"),
                    ],
                    "rate",
                ),
                Panel(
                    "Labels made",
                    [(f"sum by (status) (rate(plaudit_ingest_labels_total{_R}))", "{{status}}")],
                    "rate",
                ),
                Panel("Label lag", [("max(plaudit_label_lag_seconds)", "oldest closed window")], "seconds"),
            ],
        ),
        (
            "Learning and deciding",
            [
                Panel(
                    "Adapters ever trained, by state",
                    [("max by (state) (plaudit_policy_adapters)", "{{state}}")],
                    stacked=True,
                ),
                Panel(
                    "Ledger of decisions",
                    [("max by (kind) (plaudit_experiment_ledger_rows)", "{{kind}}")],
                    what="Rows of the ledger by kind; a step is a decision.",
                ),
                Panel(
                    "Job failures since the last success",
                    [("max by (job_name) (plaudit_job_failed_runs)", "{{job_name}}")],
                    threshold=1,
                ),
            ],
        ),
        (
            "What people are promised",
            [
                Panel(
                    f"{title} (1 h)",
                    [
                        (f"plaudit:{record}_rate1h", "missed"),
                        (f'1 - max(plaudit_slo_target_ratio{{slo="{slo}"}})', "may be missed"),
                    ],
                    "ratio",
                )
                for title, record, slo in (
                    ("Chat requests that fail by our fault", "serving_requests:error_ratio", "availability"),
                    ("First tokens that come late", "serving_first_tokens:late_ratio", "first_token"),
                    ("Feedback that is not taken", "feedback_appends:error_ratio", "feedback"),
                )
            ],
        ),
    ],
)

INGEST = Dashboard(
    "plaudit-ingest",
    "Plaudit: ingest",
    "From the door to the store: HTTP, event log, consumer, dead letters.",
    [
        (
            "At the door",
            [
                Panel("Accepted", [(f"sum by (kind) (rate(plaudit_ingest_accepted_total{_R}))", "{{kind}}")], "rate"),
                Panel(
                    "Rejected by reason",
                    [(f"sum by (reason) (rate(plaudit_ingest_rejected_total{_R}))", "{{reason}}")],
                    "rate",
                ),
                Panel(
                    "Requests refused whole",
                    [(f"sum by (code) (rate(plaudit_ingest_requests_refused_total{_R}))", "{{code}}")],
                    "rate",
                ),
                Panel("In flight", [("sum by (instance) (plaudit_ingest_in_flight_items)", "{{instance}}")]),
                Panel(
                    "Access refused",
                    [(f"sum by (code) (rate(plaudit_access_refused_total{_R}))", "{{code}}")],
                    "rate",
                ),
                Panel(
                    "Names no answer known here",
                    [("max(plaudit_ingest_unattributed_ratio)", "of recent events")],
                    "ratio",
                    threshold=0.05,
                ),
            ],
        ),
        (
            "Event log",
            [
                Panel(
                    "Append, 99th percentile",
                    [
                        (
                            "histogram_quantile(0.99, sum by (le, topic)"
                            f" (rate(plaudit_event_log_append_seconds_bucket{_R})))",
                            "{{topic}}",
                        )
                    ],
                    "seconds",
                ),
                Panel(
                    "Appends that failed",
                    [
                        (f"sum by (code) (rate(plaudit_event_log_append_failures_total{_R}))", "{{code}}"),
                        (f"sum by (topic) (rate(plaudit_event_log_refused_records_total{_R}))", "set aside: {{topic}}"),
                    ],
                    "rate",
                ),
                Panel(
                    "Spool",
                    [
                        ("sum by (instance) (plaudit_event_log_spool_bytes)", "{{instance}}"),
                        ("max(plaudit_event_log_spool_limit_bytes)", "limit"),
                    ],
                    "bytes",
                ),
                Panel(
                    "Spool's own process",
                    [
                        ("sum by (instance) (plaudit_event_log_spool_process_up)", "up: {{instance}}"),
                        (f"sum(increase(plaudit_event_log_spool_process_lost_total{_R}))", "lost"),
                    ],
                ),
            ],
        ),
        (
            "Consumer",
            [
                Panel(
                    "Age of the store",
                    [("kind:plaudit_ingest_applied_age:seconds", "{{kind}}")],
                    "seconds",
                    threshold=120,
                ),
                Panel("Lag", [("sum by (kind) (plaudit_ingest_consumer_lag_records)", "{{kind}}")]),
                Panel(
                    "From append to label, 99th percentile",
                    [
                        (
                            "histogram_quantile(0.99, sum by (le, kind)"
                            f" (rate(plaudit_ingest_apply_delay_seconds_bucket{_R})))",
                            "{{kind}}",
                        )
                    ],
                    "seconds",
                    threshold=1,
                ),
                Panel(
                    "Duplicates and erased",
                    [
                        (f"sum(rate(plaudit_ingest_duplicates_total{_R}))", "duplicates"),
                        (f"sum(rate(plaudit_ingest_erased_total{_R}))", "erased"),
                    ],
                    "rate",
                ),
                Panel(
                    "Steps that failed",
                    [(f"sum by (error) (rate(plaudit_ingest_consumer_failures_total{_R}))", "{{error}}")],
                    "rate",
                ),
                Panel(
                    "Dead letters waiting",
                    [("max by (reason) (plaudit_ingest_open_dead_letters)", "{{reason}}")],
                    threshold=1,
                ),
            ],
        ),
    ],
)

DASHBOARDS = (LOOP, INGEST, LABELS, EXPERIMENTS, SERVING, JOBS)
