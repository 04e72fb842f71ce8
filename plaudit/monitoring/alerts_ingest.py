"""Alerts on feedback on its way: log, consumer, labels, dead letters, trust."""

from plaudit.monitoring.promql import Alert, Group, Recording


def ingest_group() -> Group:
    """From the door to the label."""
    recordings = [
        Recording(
            "kind:plaudit_ingest_applied_age:seconds",
            "time() - max by (kind) (plaudit_ingest_applied_through_timestamp_seconds > 0)",
        ),
        Recording("plaudit:ingest_rejected:ratio_rate15m", _REJECTED),
    ]
    return Group("plaudit-ingest", [*recordings, *_consumer(), *_feedback()])


def _consumer() -> list[Alert]:
    return [
        Alert(
            "ConsumerStopped",
            "kind:plaudit_ingest_applied_age:seconds > seconds(120)",
            60.0,
            "critical",
            "{{ $labels.kind }}: nothing newer than {{ $value | humanizeDuration }} ago has reached the store",
        ),
        Alert(
            "ConsumerLagging",
            "sum by (kind) (plaudit_ingest_consumer_lag_records) > 10000",
            600.0,
            "warning",
            "{{ $labels.kind }}: {{ $value }} records of the log are not in the store yet",
        ),
        Alert(
            "ConsumerFailing",
            "sum by (kind, error) (increase(plaudit_ingest_consumer_failures_total[10m])) > 5",
            300.0,
            "warning",
            "{{ $labels.kind }}: the consumer fails with {{ $labels.error }} and tries again",
        ),
    ]


def _feedback() -> list[Alert]:
    return [
        Alert(
            "DeadLetters",
            "max by (reason) (plaudit_ingest_open_dead_letters) > 0",
            300.0,
            "warning",
            "{{ $value }} events could not be applied ({{ $labels.reason }}) and wait for a person",
        ),
        Alert(
            "FeedbackRejected",
            "plaudit:ingest_rejected:ratio_rate15m > 0.1",
            900.0,
            "warning",
            "{{ $value | humanizePercentage }} of what clients send is refused at the door",
        ),
        Alert(
            "FeedbackUnattributed",
            "max(plaudit_ingest_unattributed_ratio) > 0.05",
            900.0,
            "warning",
            "{{ $value | humanizePercentage }} of recent feedback names an answer that is unknown here",
        ),
        Alert(
            "LabelLag",
            "max(plaudit_label_lag_seconds) > seconds(900)",
            300.0,
            "warning",
            "A label whose window has closed has waited {{ $value | humanizeDuration }} to become final",
        ),
        Alert(
            "TrustConcentrated",
            "max(plaudit_trust_top_ten_ratio) > 0.5",
            3600.0,
            "warning",
            "Ten people have {{ $value | humanizePercentage }} of all weight in what is learned",
        ),
    ]


_REJECTED = (
    "(sum(rate(plaudit_ingest_rejected_total[15m])) or vector(0)) / "
    "((sum(rate(plaudit_ingest_rejected_total[15m])) or vector(0))"
    " + (sum(rate(plaudit_ingest_accepted_total[15m])) or vector(0)) > 0)"
)


def logs_group() -> Group:
    """The event log itself."""
    return Group(
        "plaudit-event-log",
        [
            Alert(
                "EventLogDown",
                "min by (instance) (plaudit_event_log_healthy) == 0",
                120.0,
                "critical",
                "{{ $labels.instance }}: the event log does not answer; nothing new is accepted beyond the spool",
            ),
            Alert(
                "SpoolFilling",
                "max(plaudit_event_log_spool_bytes) > 0.25 * max(plaudit_event_log_spool_limit_bytes > 0)",
                300.0,
                "critical",
                "{{ $value | humanize1024 }}B wait on local disk for a log that does not answer",
            ),
            Alert(
                "SpoolProcessAway",
                "min by (instance) (plaudit_event_log_spool_process_up) == 0",
                300.0,
                "warning",
                "{{ $labels.instance }}: threads keep the spool, as no process of its own does; answers take longer",
            ),
        ],
    )
