"""Dashboards without Grafana: every expression parses, every metric exists, panels do not overlap, files are true."""

import itertools
import json
from pathlib import Path

import pytest

from infra.settings import Settings
from plaudit.monitoring.dashboards import DASHBOARDS
from plaudit.monitoring.names import catalogued, known_names, names_in
from plaudit.monitoring.panels import COLUMNS, Dashboard
from plaudit.monitoring.promql import Group, Recording, rules_yaml
from plaudit.monitoring.rules import groups, recordings
from tests.plaudit.monitoring.promtool import promtool

FOLDER = Path(__file__).parents[3] / "infra" / "deploy" / "grafana" / "dashboards"
EXPRESSIONS = sorted({query for board in DASHBOARDS for panel in board.panels for query, _ in panel.queries})


def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    """Each as a recording rule of a file that is thrown away."""
    rules = [
        Recording(f"panel:expression:{number}", query.replace("$__rate_interval", "1m"))
        for number, query in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "panels.yml").write_text(rules_yaml([Group("panels", rules)], ""))
    assert f"SUCCESS: {len(EXPRESSIONS)} rules found" in promtool(tmp_path, "check", "rules", "panels.yml")


def test_promtool_would_notice(tmp_path: Path) -> None:
    (tmp_path / "panels.yml").write_text(rules_yaml([Group("panels", [Recording("a:b:c", "sum(rate(up))")])], ""))
    with pytest.raises(AssertionError, match="expected type range vector"):
        promtool(tmp_path, "check", "rules", "panels.yml")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_metrics_of_a_panel_exist(expression: str) -> None:
    recorded = {recording.record for recording in recordings(Settings())}
    assert names_in(expression)
    assert names_in(expression) - recorded <= known_names()


def test_every_metric_is_watched_by_a_panel_or_an_alert_or_said_to_be_for_questions() -> None:
    rules = {rule.expr for group in groups(Settings()) for rule in group.rules}
    watched = set().union(*(names_in(text) for text in (*EXPRESSIONS, *rules)))
    unwatched = {name for name in catalogued() if not any(seen.startswith(name) for seen in watched)}
    assert unwatched <= FOR_QUESTIONS


FOR_QUESTIONS = {
    "plaudit_serving_kv_bytes",
    "plaudit_serving_prompt_tokens_total",
    "plaudit_serving_duels_total",
    "plaudit_serving_in_flight_requests",
    "plaudit_serving_answers_filtered_total",
    "plaudit_serving_interactions_redacted_total",
    "plaudit_serving_unlogged_total",
    "plaudit_serving_replica_up",
    "plaudit_serving_replica_adapter_proven",
    "plaudit_serving_replica_proof_margin_ratio",
    "plaudit_serving_replica_requests_total",
    "plaudit_serving_replica_lost_total",
    "plaudit_access_key_lookups_total",
    "plaudit_build_info",
    "plaudit_erasures_total",
    "plaudit_event_log_appended_bytes_total",
    "plaudit_event_log_consumer_lag_records",
    "plaudit_event_log_spooled_records_total",
    "plaudit_experiment_decisions_total",
    "plaudit_experiment_started_timestamp_seconds",
    "plaudit_ingest_apply_seconds",
    "plaudit_ingest_unknown_signals_total",
    "plaudit_ingest_watermark_timestamp_seconds",
    "plaudit_job_duration_seconds",
    "plaudit_process_start_time_seconds",
    "plaudit_reward_model_drift_reasons",
    "plaudit_serving_proofs_total",
    "plaudit_slo_limit_seconds",
}
"""Metrics that no panel shows: what one asks for by hand."""


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_panels_lie_within_the_grid_and_beside_one_another(board: Dashboard) -> None:
    cells = [
        (x, y)
        for panel in board.document()["panels"]
        for x, y in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < COLUMNS
    numbers = [panel["id"] for panel in board.document()["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_the_file_in_the_repository_is_what_the_command_writes(board: Dashboard) -> None:
    remedy = "write them anew: plaudit config dashboards infra/deploy/grafana/dashboards"
    assert (FOLDER / f"{board.uid}.json").read_text(encoding="utf-8") == board.text(), remedy
    assert json.loads(board.text())["uid"] == board.uid


def test_there_is_no_file_of_no_dashboard() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {board.uid for board in DASHBOARDS}
