import pytest

from plaudit.load.answers import Sample
from plaudit.load.plan import Plan
from plaudit.load.report import report, summary, tables


def sample(start: float, seconds: float, **more: object) -> Sample:
    values = {"intended": start, "started": start, "finished": start + seconds, "status": 200, **more}
    return Sample(**values)  # type: ignore[arg-type]


def test_figures_by_hand() -> None:
    samples = [
        sample(0.0, 1.0, first_token=0.25, gaps=(0.25, 0.5), completion_tokens=3, prompt_tokens=5, adapter="base"),
        sample(1.0, 2.0, started=1.5, first_token=2.0, gaps=(1.0,), completion_tokens=2, adapter="kind@1"),
        sample(2.0, 0.5, status=429, code="rate_limit_exceeded", completion_tokens=99),
        sample(2.0, 9.0, status=0, code="timeout"),
    ]
    made = report(Plan("http://h", rate=2.0), samples, 5.0)
    assert (made["requests"], made["errors"], made["error_share"]) == (4, 2, 0.5)
    assert made["errors_by_code"] == {"429 rate_limit_exceeded": 1, "0 timeout": 1}
    assert made["by_status"] == {"200": 2, "429": 1, "0": 1}
    assert (made["requests_per_second"], made["tokens_per_second"]) == (0.4, 1.0)
    assert made["latency_seconds"]["p50"] == 1.5  # from the intended start: 1.0 and 2.0
    assert made["latency_seconds"]["p99"] == pytest.approx(1.99)
    assert made["first_token_seconds"]["max"] == 1.0
    assert made["inter_token_seconds"]["mean"] == pytest.approx(1.75 / 3)
    assert made["start_lag_seconds"]["max"] == 0.5
    assert made["adapters"] == {"base": 1, "kind@1": 1}
    assert (made["loop"], made["arrivals"]) == ("open", "poisson")


def test_nothing_answered_is_a_report_too() -> None:
    made = report(Plan("http://h"), [sample(0.0, 1.0, status=0, code="connection_failed")], 1.0)
    assert made["latency_seconds"] is None
    assert made["error_share"] == 1.0
    assert summary([]) is None
    assert len(tables(made)) == 2
