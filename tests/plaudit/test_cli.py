"""The command line as a person meets it: in a process of its own."""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from infra.contracts import PlauditError
from plaudit.jobs import UnknownJob, all_jobs, job_named
from tests.fixtures.zygote import Zygote

ROOT = Path(__file__).parents[2]


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAUDIT_")}
    return {**clean, "COLUMNS": "200", "NO_COLOR": "1", **variables}


@cache
def zygote() -> Zygote:
    """One for each process of pytest."""
    folder = tempfile.TemporaryDirectory(prefix="plaudit-zygote-")
    made = Zygote(Path(folder.name))
    atexit.register(folder.cleanup)
    atexit.register(made.close)
    return made


def plaudit(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, forked from one with the imports done."""
    return zygote().run(arguments, environment(**variables))


def started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "plaudit", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_every_command_of_the_design() -> None:
    out = plaudit("--help").stdout
    for name in ("up", "serve", "ingest", "reward-model", "policy-update", "ab-testing", "migrate", "config", "models"):
        assert re.search(rf"│ {name} ", out), name
    for name in ("doctor", "demo", "replay", "jobs", "backup", "restore"):
        assert re.search(rf"│ {name} ", out), name


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ("ingest", ["api", "consume", "label", "dead-letters", "trust", "honeypots"]),
        ("reward-model", ["train", "evaluate", "compare", "explain", "offline-online"]),
        ("policy-update", ["train"]),
        ("ab-testing", ["decide"]),
        ("config", ["show", "example"]),
        ("models", ["fetch"]),
        ("jobs", ["list", "run"]),
    ],
)
def test_groups_have_their_commands(group: str, commands: list[str]) -> None:
    out = plaudit(group, "--help").stdout
    assert [name for name in commands if not re.search(rf"│ {name} ", out)] == []


def test_version_is_that_of_the_distribution() -> None:
    assert started("--version").stdout == plaudit("--version").stdout == "0.1.0\n"


def test_migrate_twice_on_a_new_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    first, second = started("migrate", PLAUDIT_STORE__URL=url), plaudit("migrate", PLAUDIT_STORE__URL=url)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    assert "is at revision" in first.stdout
    assert (tmp_path / "store.sqlite3").exists()


def test_an_expected_failure_is_one_line_and_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "plaudit.toml"
    file.write_text("[event_log]\nkindd = 'kafka'\n")
    for result in (run("--config", str(file), "config", "show") for run in (started, plaudit)):
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == 1
        assert "event_log.kindd" in result.stderr
        assert "event_log.kind" in result.stderr.replace("kindd", "")
        assert "Traceback" not in result.stderr + result.stdout


def test_config_show_says_who_set_what(tmp_path: Path) -> None:
    file = tmp_path / "plaudit.toml"
    file.write_text("project = 'shop'\nuser_key_secret = 'hidden'\n")
    result = plaudit("--config", str(file), "config", "show", "--format", "json", PLAUDIT_JOBS__HEARTBEAT_SECONDS="3")
    shown = json.loads(result.stdout)
    assert shown["settings"]["project"] == {"value": "shop", "source": str(file)}
    assert shown["settings"]["jobs.heartbeat_seconds"] == {"value": 3.0, "source": "environment"}
    assert shown["settings"]["data_dir"]["source"] == "default"
    assert "hidden" not in result.stdout
    assert re.fullmatch("[0-9a-f]{64}", shown["config_hash"])


def test_config_show_changed_leaves_defaults_out() -> None:
    out = plaudit("config", "show", "--changed", PLAUDIT_PROJECT="shop").stdout
    assert "project" in out
    assert "data_dir" not in out


def test_the_registry_job_has_nothing_to_do_at_first(tmp_path: Path) -> None:
    result = plaudit("jobs", "run", "registry", PLAUDIT_DATA_DIR=str(tmp_path), PLAUDIT_LOGGING__FORMAT="json")
    assert result.returncode == 0, result.stdout + result.stderr
    ended = [json.loads(line) for line in result.stdout.splitlines() if '"job_ended"' in line]
    assert ended[0]["status"] == "skipped"
    assert "nothing has been trained" in ended[0]["detail"].replace("no adapter or reward model", "nothing")


def test_an_unknown_job_is_answered_with_the_known_ones() -> None:
    result = plaudit("jobs", "run", "tea")
    assert result.returncode == 2
    assert "'tea'" in result.stderr
    assert "reward-model" in result.stderr


def test_jobs_are_declared_once_under_names_commands_use() -> None:
    names = [job.name for job in all_jobs()]
    assert len(names) == len(set(names))
    assert {"label", "reward-model", "policy-update", "decide", "registry"} <= set(names)
    assert {"trust", "reward-model", "policy-update"} <= {job.name for job in all_jobs() if job.child}
    assert job_named("registry").name == "registry"
    with pytest.raises(UnknownJob) as caught:
        job_named("tea")
    assert isinstance(caught.value, PlauditError)
