"""SIGKILL of a training at every stage of a step, and started again: the adapter of an undisturbed run, bit for bit."""

import json
import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.policy_update.training_child import run

STEPS = 10
PAUSE = 0.15
"""Seconds between steps of a training that is to be killed: on any machine the kill comes before the end."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """The task of a training that nobody disturbed, done."""
    path = task(tmp_path_factory.mktemp("drill") / "calm", tiny_model_dir, pause=0.0)
    assert finished(path) == 0
    return path


def task(folder: Path, model: Path, *, pause: float = PAUSE, **changes: Any) -> Path:
    """The task's file of a training in `folder`."""
    folder.mkdir()
    settings = {
        "recipe": "gdpo",
        "steps": STEPS,
        "prompts_per_step": 3,
        "group_size": 4,
        "max_new_tokens": 8,
        "temperature": 1.0,
        "learning_rate": 0.02,
        "kl_budget": 50.0,
        "kl_coefficient": 0.05,
        "lora_rank": 4,
        "checkpoint_steps": 2,
    }
    document = {
        "model": str(model),
        "settings": settings | changes,
        "checkpoints": str(folder / "checkpoints"),
        "adapter": str(folder / "adapter.safetensors"),
        "steps": str(folder / "steps"),
        "pause": pause,
    }
    path = folder / "task.json"
    path.write_text(json.dumps(document))
    return path


def start(path: Path) -> BaseProcess:
    """A child, forked from a server that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.policy_update.training_child"])
    process = context.Process(target=run, args=(str(path),), daemon=True)
    process.start()
    return process


def lines(path: Path) -> list[str]:
    found = path.parent / "steps"
    return found.read_text().splitlines() if found.exists() else []


def kill_after(path: Path, more: int, delay: float) -> bool:
    """Start, and SIGKILL `delay` seconds after `more` further steps were said; False where it was done before."""
    before, process = len(lines(path)), start(path)
    until = time.monotonic() + 60
    while len(lines(path)) < before + more and process.is_alive() and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(delay)
    alive = process.is_alive()
    if alive:
        process.kill()
    process.join(30)
    return alive


def adapter(path: Path) -> bytes:
    return (path.parent / "adapter.safetensors").read_bytes()


def finished(path: Path) -> int:
    """Run to the end; the step it was taken up at."""
    process = start(path)
    process.join(120)
    assert process.exitcode == 0, (path.parent / "log").read_text()
    return int(json.loads((path.parent / "adapter.json").read_text())["resumed_at"])


@pytest.mark.timeout(180)
def test_killed_anywhere_and_started_again_gives_the_same_adapter(
    tmp_path: Path, tiny_model_dir: Path, calm: Path
) -> None:
    killed = task(tmp_path / "killed", tiny_model_dir)
    draw = random.Random(5)
    assert kill_after(killed, 3, draw.uniform(0, 0.3))
    assert kill_after(killed, 2, draw.uniform(0, 0.3))
    assert finished(killed) > 0
    assert adapter(calm) == adapter(killed)
    # Every step that was made twice was made the same way.
    seen = {line.split()[0]: line for line in lines(calm)}
    assert all(line == seen[line.split()[0]] for line in lines(killed))
    assert len(lines(killed)) > 0


@pytest.mark.full
@pytest.mark.timeout(900)
def test_killed_at_twenty_random_moments(tmp_path: Path, tiny_model_dir: Path) -> None:
    changes = {"steps": 24, "checkpoint_steps": 1}
    calm, killed = (task(tmp_path / name, tiny_model_dir, **changes) for name in ("calm", "killed"))
    finished(calm)
    draw = random.Random(6)
    for _ in range(20):
        if not kill_after(killed, draw.choice([0, 1, 1]), draw.uniform(0, 0.4)):
            break
    finished(killed)
    assert adapter(calm) == adapter(killed)


@pytest.mark.timeout(120)
def test_a_damaged_checkpoint_is_named_and_training_begins_anew(
    tmp_path: Path, tiny_model_dir: Path, calm: Path
) -> None:
    damaged = task(tmp_path / "damaged", tiny_model_dir)
    assert kill_after(damaged, 3, 0.0)  # the third step is said after the checkpoint of the second was written
    (place,) = (damaged.parent / "checkpoints").glob("checkpoint-*")
    weights = place / "state.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    assert finished(damaged) == 0
    said = (damaged.parent / "log").read_text()
    assert "checkpoint_refused" in said
    assert place.name in said
    assert "another hash" in said
    assert adapter(calm) == adapter(damaged)
