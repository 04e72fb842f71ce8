"""The rules before promtool: syntax, one firing and one silent history an alert; names, runbooks and files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.contracts import PlauditError
from infra.settings import Settings, load_settings
from infra.settings.monitoring import MonitoringSettings
from plaudit.monitoring.names import known_names, names_in
from plaudit.monitoring.promises import OUR_FAULT, PROMISES
from plaudit.monitoring.promql import Alert, Scale, duration_text, rules_yaml
from plaudit.monitoring.rules import RUNBOOKS, alerts, groups, recordings, rules_file
from tests.plaudit.monitoring.cases import CASES
from tests.plaudit.monitoring.promtool import histories, promtool, rule_test, rule_tests

ROOT = Path(__file__).parents[3]
ALERTS = alerts(Settings())


def test_promtool_takes_the_rules_at_every_scale(tmp_path: Path) -> None:
    for name, scale in {"real": Scale(), "short": Scale(1 / 60, 2.0), "odd": Scale(1 / 7)}.items():
        (tmp_path / f"{name}.yml").write_text(rules_file(Settings(), scale))
    said = promtool(tmp_path, "check", "rules", "real.yml", "short.yml", "odd.yml")
    assert said.count("SUCCESS") == 3


LONG_MINUTES = 100
"""Histories longer than this are looked at every ten minutes instead of every minute."""


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("long", [True, False])
def test_every_alert_fires_and_stays_silent(tmp_path: Path, promised: bool, long: bool) -> None:
    """In four parts, so that each evaluates only the rules and the instants it needs."""
    some = [group for group in groups(Settings()) if (group.name == PROMISES) == promised]
    named = {rule.name for group in some for rule in group.rules if isinstance(rule, Alert)}
    cases = [case for case in CASES if case.alert in named and (case.at > LONG_MINUTES) == long]
    (tmp_path / "rules.yml").write_text(rules_yaml(some, RUNBOOKS))
    asked = [(case.fires, case.alert, case.at, True) for case in cases]
    asked += [(case.silent, case.alert, case.at, False) for case in cases]
    assert bool(asked) == (long or not promised)
    if asked:
        told = [rule_test(history) for history in histories(asked)]
        (tmp_path / "test.yml").write_text(rule_tests("rules.yml", told, every_minutes=10 if long else 1))
        assert "SUCCESS" in promtool(tmp_path, "test", "rules", "test.yml")


def test_a_process_that_has_done_nothing_yet_fires_nothing(tmp_path: Path) -> None:
    """A consumer knows nothing of adapters, a scheduler nothing of the log: what it does not know it must not show."""
    program = "from infra.metrics import exposition; print(exposition().decode())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    samples = dict(line.rsplit(" ", 1) for line in told.splitlines() if line and not line.startswith("#"))
    gauges = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE") and line.endswith(" gauge")}
    assert {name for name in gauges & samples.keys() if not name.endswith("_created")} == set()
    series = {_of_instance(name, "consumer:9100"): f"{value}x30" for name, value in samples.items()}
    series['up{instance="gateway:8080",job="gateway"}'] = "1x30"
    (tmp_path / "rules.yml").write_text(rules_file(Settings()))
    [quiet] = histories([(series, alert.name, 25, False) for alert in ALERTS])
    (tmp_path / "test.yml").write_text(rule_tests("rules.yml", [rule_test(quiet)]))
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "test.yml")


def test_promtool_notices_a_case_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rules_file(Settings()))
    case = next(case for case in CASES if case.at < 10)
    [wrong] = histories([(case.silent, case.alert, case.at, True)])
    (tmp_path / "test.yml").write_text(rule_tests("rules.yml", [rule_test(wrong)]))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool(tmp_path, "test", "rules", "test.yml")


def _of_instance(sample: str, instance: str) -> str:
    """A sample's name and labels as a scrape of `instance` stores them."""
    name, _, labels = sample.partition("{")
    return f'{name}{{instance="{instance}"{"," if labels else ""}{labels or "}"}'


def test_no_alert_is_without_a_case_or_named_twice() -> None:
    assert {case.alert for case in CASES} == {alert.name for alert in ALERTS}
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("rule", [*ALERTS, *recordings(Settings())], ids=lambda rule: getattr(rule, "name", ""))
def test_metrics_of_a_rule_are_in_the_catalogue(rule: object) -> None:
    recorded = {recording.record for recording in recordings(Settings())}
    assert names_in(rule.expr) - recorded <= known_names()  # type: ignore[attr-defined]
    assert names_in(rule.expr)  # type: ignore[attr-defined]


def test_recording_rules_are_named_by_level_metric_and_operations() -> None:
    for recording in recordings(Settings()):
        assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", recording.record), recording.record


def test_the_file_in_the_repository_is_what_the_command_writes() -> None:
    written = (ROOT / "infra" / "deploy" / "prometheus" / "rules.yml").read_text()
    assert written == rules_file(Settings()), "write it anew: plaudit config rules > infra/deploy/prometheus/rules.yml"


def test_a_scale_shortens_thresholds_ranges_and_waiting() -> None:
    scale = Scale(1 / 60, 2.0)
    assert scale.expression("rate(x[5m]) > seconds(120) + y[1m] + z[3d]") == "rate(x[5s]) > 2 + y[2s] + z[72m]"
    assert (scale.duration(300), scale.duration(90), Scale().duration(5400)) == ("5s", "1500ms", "90m")
    assert Scale().expression("rate(x[5m]) > seconds(120)") == "rate(x[5m]) > 120"
    assert [duration_text(seconds) for seconds in (86400, 3600, 61, 0.5)] == ["1d", "1h", "61s", "500ms"]


def test_a_limit_between_two_buckets_is_refused() -> None:
    settings = Settings(monitoring=MonitoringSettings(first_token_seconds=3.0))
    with pytest.raises(PlauditError, match=r"first_token_seconds = 3 is no edge"):
        groups(settings)


def test_every_code_that_counts_as_our_fault_exists() -> None:
    sources = [path.read_text() for room in ("serving", "infra", "ingest") for path in (ROOT / room).rglob("*.py")]
    declared = set(re.findall(r'code ?= ?"([a-z_]+)"', "\n".join(sources)))
    assert set(OUR_FAULT) <= declared


def test_the_settings_of_the_repository_are_the_defaults() -> None:
    assert rules_file(load_settings(ROOT / "plaudit.example.toml")) == rules_file(Settings())
