"""`plaudit ingest` as three processes on one data folder: API, consumer, tools."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from infra.contracts import SystemClock, uuid7
from infra.event_log import Record, open_event_log
from infra.settings import load_settings
from tests.fixtures.helpers import free_port
from tests.plaudit.test_cli import plaudit

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"PLAUDIT_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def services(variables: dict[str, str], tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A feedback API and a consumer, ready; their log files stay for the failure report."""
    port = free_port()
    assert plaudit("migrate", **variables).returncode == 0
    commands = [["ingest", "api", "--port", str(port)], ["ingest", "consume"]]
    processes = []
    for command in commands:
        with (tmp_path / f"{command[1]}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "plaudit", *command],
                    cwd=ROOT,
                    env={**os.environ, **variables},
                    stdout=log,
                    stderr=log,
                )
            )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ready(url))
        yield url, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_feedback_becomes_a_label_and_both_end_in_order(
    services: tuple[str, list["subprocess.Popen[bytes]"]], tmp_path: Path
) -> None:
    url, processes = services
    answer = {"messages": [{"role": "user", "content": "Why?"}], "answers": ["Because."], "user": "ada"}
    accepted = httpx.post(f"{url}/v1/interactions", json=answer)
    assert accepted.status_code == 202, accepted.text
    response_id = accepted.json()["results"][0]["response_id"]
    events = [{"event_id": str(uuid7()), "response_id": response_id, "signal": name} for name in ("shown", "like")]
    assert httpx.post(f"{url}/v1/feedback", json=events).status_code == 202

    label = wait_for(lambda: liked(url, response_id))
    assert label["status"] == "provisional"
    for process in processes:
        process.send_signal(signal.SIGTERM)
    codes = [process.wait(timeout=90) for process in processes]
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert codes[1] == 0, logs
    assert codes[0] in (0, -signal.SIGTERM), logs  # uvicorn ends in order, then takes the signal itself
    assert "Traceback" not in logs


def test_a_dead_letter_is_listed_shown_and_dropped(
    services: tuple[str, list["subprocess.Popen[bytes]"]], variables: dict[str, str]
) -> None:
    settings = load_settings(overrides={"data_dir": variables["PLAUDIT_DATA_DIR"]})
    log = open_event_log(settings, SystemClock())
    try:
        topic = f"{settings.event_log.topic_prefix}.feedback"
        log.ensure_topic(topic)
        log.append(topic, [Record(key=b"k", value=b"no json at all")]).result(20)
    finally:
        log.close()
    listed = wait_for(lambda: one_letter(variables))
    letter_id = listed.split()[0]
    shown = plaudit("ingest", "dead-letters", "show", letter_id, **variables).stdout
    assert "no json at all" in shown
    dropped = plaudit("ingest", "dead-letters", "drop", letter_id, **variables)
    assert dropped.returncode == 0, dropped.stderr
    assert plaudit("ingest", "dead-letters", "list", **variables).stdout.strip() == "no dead letters"
    assert "dropped" in plaudit("ingest", "dead-letters", "list", "--all", **variables).stdout
    again = plaudit("ingest", "dead-letters", "drop", letter_id, **variables)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("dead_letter_not_open")


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def liked(url: str, response_id: str) -> dict[str, object] | None:
    answer = httpx.get(f"{url}/v1/labels/{response_id}")
    label = json.loads(answer.text)
    return label if answer.status_code == 200 and label["values"].get("love") == 1.0 else None


def one_letter(variables: dict[str, str]) -> str | None:
    lines = plaudit("ingest", "dead-letters", "list", **variables).stdout.splitlines()
    return next((line for line in lines if "undecodable" in line), None)


def wait_for(look: Callable[[], T | None], seconds: float = 40.0) -> T:
    """What `look()` returns as soon as it is true. Raises AssertionError after the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing after {seconds} s")
