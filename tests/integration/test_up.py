"""Starts of `plaudit up` that go wrong, or are called off, as processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.runtime import Health, Shutdown
from plaudit.up import NotReady, await_ready
from plaudit.up_gateway import bind
from tests.fixtures.helpers import wait_until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


def up(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """The command, on a data folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "plaudit", "up", *arguments],
        cwd=ROOT,
        env={**os.environ, "PLAUDIT_DATA_DIR": str(folder / "data"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_port_in_use_ends_it_before_anything_is_made(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        process = up(tmp_path, "--port", str(port))
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 2, complained
    (line,) = complained.splitlines()
    assert line.startswith(f"cannot_listen: port {port} of 127.0.0.1 is in use")
    assert said == ""
    assert not (tmp_path / "data").exists()


def test_a_model_that_is_not_there_ends_it_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = up(tmp_path, "--port", "0", PLAUDIT_MODEL__BASE=str(tmp_path / "empty"))
    _, complained = process.communicate(timeout=90)
    assert process.returncode == 2, complained
    (line,) = complained.splitlines()
    assert line.startswith("not_ready: ")
    assert str(tmp_path / "empty") in line
    log = (tmp_path / "data" / "logs" / "up.jsonl").read_text()
    assert '"shutdown_finished"' in log


def test_a_stop_during_the_start_is_obeyed(tmp_path: Path, tiny_model_dir: Path) -> None:
    process = up(tmp_path, "--port", "0", PLAUDIT_MODEL__BASE=str(tiny_model_dir))
    wait_until((tmp_path / "data" / "store.sqlite3").exists, 60.0, "the store")
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, complained
    assert complained == ""
    assert "ready at" not in said
    assert said.rstrip().endswith("ended in order")


def test_waiting_ends_with_the_stop_and_with_a_failure() -> None:
    health, shutdown, said = Health(), Shutdown(), list[str]()
    health.add("adapter", lambda: "the base model is being loaded")
    with pytest.raises(NotReady, match="no weights"):
        await_ready(health, lambda: "no weights" if said else None, shutdown, said.append)
    assert set(said) == {"adapter: the base model is being loaded"}
    shutdown.request()
    began = time.monotonic()
    await_ready(health, lambda: None, shutdown, said.append)
    assert time.monotonic() - began < 60, "its own patience is five minutes"


def test_the_command_line_makes_torch_wait_without_spinning() -> None:
    """Set before torch can be loaded, in whatever command."""
    program = (
        "import os, sys; sys.argv = ['plaudit', '--version']\n"
        "from plaudit.cli import main\n"
        "try:\n    main()\nfinally:\n    print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "1000 False", done.stderr
