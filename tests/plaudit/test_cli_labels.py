"""`plaudit ingest labels | specification | compare-specifications | selection | validity` as a person meets them."""

import json
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.runtime import JobContext, open_context
from infra.settings import load_settings
from ingest.selection.jobs import run_propensity
from ingest.validity.jobs import run_validity
from tests.ingest.builders import START
from tests.ingest.worlds import DAY, close_windows, populate, with_ingest
from tests.plaudit.test_cli import plaudit

CANDIDATE = {"enabled": True, "objectives": {"reuse": {"signals": ["shown", "copy"]}}}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A data folder with a hundred people over two weeks, a model of who votes, and verdicts."""
    folder: Path = tmp_path_factory.mktemp("labels") / "data"
    clock = ManualClock(START)
    context = open_context(load_settings(overrides={"data_dir": folder}), clock)
    with_ingest(context, validity={"min_people": 50}, selection={"min_votes": 50}, candidate_specification=CANDIDATE)
    populate(context, people=100, days=14, asked=0.1)
    clock.advance(24 * DAY)
    close_windows(context, clock.now())
    assert run_propensity(JobContext(context)).status == "done"
    assert run_validity(JobContext(context)).status == "done"
    context.close()
    return {
        "PLAUDIT_DATA_DIR": str(folder),
        "PLAUDIT_INGEST__CANDIDATE_SPECIFICATION__ENABLED": "true",
        "PLAUDIT_INGEST__CANDIDATE_SPECIFICATION__OBJECTIVES": json.dumps(CANDIDATE["objectives"]),
    }


def test_labels_of_a_past_instant(variables: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    told = plaudit("ingest", "labels", "--as-of", str(START + 24 * DAY), "--out", str(out), **variables)
    assert told.returncode == 0, told.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"{len(lines)} labels as of 2023-12-08T22:13:20+00:00" in told.stdout
    assert "0 cannot be made again" in told.stdout
    assert len(lines) > 300
    assert lines[0]["status"] == "final"
    before = plaudit("ingest", "labels", "--as-of", "2023-11-15", "--out", str(out), **variables)
    assert "0 labels as of 2023-11-15T00:00:00+00:00" in before.stdout
    wrong = plaudit("ingest", "labels", "--as-of", "yesterday", "--out", str(out), **variables)
    assert wrong.returncode == 2
    assert "give ISO 8601" in wrong.stderr


def test_specifications(variables: dict[str, str]) -> None:
    told = plaudit("ingest", "specification", **variables)
    assert told.returncode == 0, told.stderr
    assert "in force" in told.stdout
    assert "candidate" in told.stdout
    beside = plaudit("ingest", "compare-specifications", **variables)
    assert beside.returncode == 0, beside.stderr
    assert "correlation" in beside.stdout
    assert "reuse" in beside.stdout
    alone = plaudit("ingest", "compare-specifications", PLAUDIT_DATA_DIR=variables["PLAUDIT_DATA_DIR"])
    assert alone.returncode == 2
    assert "ingest.candidate_specification.enabled" in alone.stderr


def test_who_votes(variables: dict[str, str], tmp_path: Path) -> None:
    told = plaudit("ingest", "selection", **variables)
    assert told.returncode == 0, told.stderr
    for words in (
        "doubly robust",
        "nothing assumed",
        "odds ratio at most 3",
        "effective sample size",
        "asked at random",
    ):
        assert words in told.stdout
    empty = plaudit("ingest", "selection", PLAUDIT_DATA_DIR=str(tmp_path / "empty"))
    assert "no model yet" in empty.stdout


def test_what_predicts_return(variables: dict[str, str], tmp_path: Path) -> None:
    told = plaudit("ingest", "validity", **variables)
    assert told.returncode == 0, told.stderr
    assert "predicts" in told.stdout
    assert "override: no evidence yet: default of the product" in told.stdout
    refused = plaudit(
        "ingest",
        "validity",
        PLAUDIT_DATA_DIR=str(tmp_path / "empty"),
        PLAUDIT_INGEST__OBJECTIVES='{"dwell": {"weight": 0.5}}',
    )
    assert "0 (refused)" in refused.stdout
    assert "ingest.objectives.dwell.override" in refused.stdout
    assert "no evidence yet: the job" in refused.stdout
