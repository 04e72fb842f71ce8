"""What the service promises, and alerts on how fast it spends what it may miss.

Burn rate b over a window: errors / (1 - target); at b = 1 a month's allowance lasts a month. Two windows each, so that
an alert comes soon and goes soon: 14.4 over 1 h and 5 min (2 % of a month's allowance in an hour), 6 over 6 h and
30 min, 1 over 3 d and 6 h (Google, The Site Reliability Workbook, chapter 5).
"""

from dataclasses import dataclass

from infra.contracts import PlauditError
from infra.metrics.catalogue import LONG_SECONDS
from infra.settings.monitoring import MonitoringSettings
from plaudit.monitoring.promql import Alert, Group, Recording, Severity

WINDOW = "WINDOW"
"""Stands for the window in an expression."""

WINDOWS = ("5m", "30m", "1h", "6h", "3d")

OUR_FAULT = (
    "adapter_not_proven",
    "engine_failed",
    "event_log_unavailable",
    "internal_error",
    "not_ready",
    "timeout",
)
"""Codes of chat requests that failed by our fault: everything else was asked wrongly, or too often."""


class NotABucket(PlauditError):
    """A limit of time that the histogram has no edge for: how many were in time could only be guessed."""

    code = "not_a_bucket"


@dataclass(frozen=True)
class Burn:
    """One pair of windows: fires while both spend the allowance at more than `rate`."""

    rate: float
    short: str
    long: str
    for_seconds: float
    severity: Severity
    word: str


BURNS = (
    Burn(14.4, "5m", "1h", 120.0, "critical", "Fast"),
    Burn(6.0, "30m", "6h", 900.0, "critical", "Steady"),
    Burn(1.0, "6h", "3d", 3600.0, "warning", "Slow"),
)


@dataclass(frozen=True)
class Promise:
    """`errors` gives the ratio of bad events over a window that stands as `WINDOW`."""

    slo: str
    record: str
    errors: str
    alert: str
    what: str


def promises(settings: MonitoringSettings) -> tuple[Promise, ...]:
    """The promises. Raises NotABucket."""
    edge = settings.first_token_seconds
    if edge not in LONG_SECONDS:
        raise NotABucket(
            f"monitoring.first_token_seconds = {edge:g} is no edge of the histogram: one of "
            f"{', '.join(f'{seconds:g}' for seconds in LONG_SECONDS)}",
            field="monitoring.first_token_seconds",
        )
    refused = _rate(f'plaudit_serving_requests_refused_total{{code=~"{"|".join(OUR_FAULT)}"}}')
    answered = _rate('plaudit_serving_request_duration_seconds_count{outcome!="error"}')
    in_time = _rate(f'plaudit_serving_first_token_seconds_bucket{{le="{float(edge)}"}}')
    first_tokens = _rate("plaudit_serving_first_token_seconds_count")
    lost = _rate('plaudit_event_log_append_failures_total{topic=~".*feedback"}')
    kept = _rate('plaudit_event_log_appended_records_total{topic=~".*feedback"}')
    return (
        Promise(
            "availability",
            "plaudit:serving_requests:error_ratio",
            f"{refused} / ({refused} + {answered} > 0)",
            "GatewayErrors",
            "chat requests fail by our fault",
        ),
        Promise(
            "first_token",
            "plaudit:serving_first_tokens:late_ratio",
            f"1 - {in_time} / ({first_tokens} > 0)",
            "FirstTokenLate",
            f"first tokens come after {edge:g} s",
        ),
        Promise(
            "feedback",
            "plaudit:feedback_appends:error_ratio",
            f"{lost} / ({lost} + {kept} > 0)",
            "FeedbackRefused",
            "feedback cannot be made durable and is sent back",
        ),
    )


def promises_group(settings: MonitoringSettings) -> Group:
    """Error ratios over every window, and three alerts a promise."""
    rules: list[Recording | Alert] = []
    for promise in promises(settings):
        rules += [
            Recording(f"{promise.record}_rate{window}", promise.errors.replace(WINDOW, window)) for window in WINDOWS
        ]
    for promise in promises(settings):
        rules += [_alert(promise, burn) for burn in BURNS]
    return Group("plaudit-promises", rules)


def _alert(promise: Promise, burn: Burn) -> Alert:
    allowed = f'scalar(max(plaudit_slo_target_ratio{{slo="{promise.slo}"}}))'
    short, long = (f"{promise.record}_rate{window}" for window in (burn.short, burn.long))
    limit = f"{burn.rate:g} * (1 - {allowed})"
    summary = (
        f"{promise.what[0].upper()}{promise.what[1:]}: {{{{ $value | humanizePercentage }}}} over {burn.long}, "
        f"{burn.rate:g} times as many as promised"
    )
    expr = f"{long} > {limit} and {short} > {limit}"
    return Alert(f"{promise.alert}{burn.word}", expr, burn.for_seconds, burn.severity, summary)


def _rate(series: str) -> str:
    """Events a second over the window; 0 where there are none yet."""
    return f"(sum(rate({series}[{WINDOW}])) or vector(0))"
