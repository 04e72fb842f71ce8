"""`plaudit jobs` on a real data folder: run, list, history, pause, resume."""

from pathlib import Path

import pytest

from tests.plaudit.test_cli import plaudit


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"PLAUDIT_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200"}


def test_a_job_is_run_paused_skipped_and_resumed_and_its_history_says_so(variables: dict[str, str]) -> None:
    assert plaudit("jobs", "run", "registry", **variables).returncode == 0
    paused = plaudit("jobs", "pause", "registry", "--reason", "the registry moves", **variables)
    assert paused.returncode == 0, paused.stderr
    assert plaudit("jobs", "run", "registry", **variables).returncode == 0
    listed = plaudit("jobs", "list", **variables)
    assert listed.returncode == 0, listed.stderr
    assert "the registry moves" in listed.stdout
    assert "or by evidence" in listed.stdout
    again = plaudit("jobs", "pause", "registry", "--reason", "twice", **variables)
    assert (again.returncode, "already_paused" in again.stderr) == (2, True)
    resumed = plaudit("jobs", "resume", "registry", **variables)
    assert "registry goes on" in resumed.stdout
    history = plaudit("jobs", "history", "registry", **variables)
    assert history.stdout.index("the registry moves") < history.stdout.index("no adapter or reward model")
    assert history.stdout.count("by hand") == 2
    trail = plaudit("audit", "list", **variables).stdout
    assert "job.paused" in trail
    assert "job.resumed" in trail


def test_a_fire_that_is_settled_is_not_run_again(variables: dict[str, str]) -> None:
    for fire in ("100.5", "100.5", "99.0"):
        assert plaudit("jobs", "run", "registry", "--fire", fire, **variables).returncode == 0
    history = plaudit("jobs", "history", "registry", **variables).stdout
    assert history.count("schedule") == 1


def test_a_job_that_is_none_is_named(variables: dict[str, str]) -> None:
    wrong = plaudit("jobs", "history", "tea", **variables)
    assert wrong.returncode == 2
    assert "unknown_job" in wrong.stderr
    assert plaudit("jobs", "history", **variables).stdout.strip() == "no runs yet"
