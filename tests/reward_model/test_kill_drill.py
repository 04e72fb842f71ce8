"""SIGKILL of the real command during training, and disks without room: the same model, or a clear end."""

import random
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from infra.models.hashes import hash_folder
from infra.settings import Settings, load_settings
from reward_model.finetuning.pipeline import CHECKPOINT_FILE
from tests.reward_model.killing import Training, prepared, stages, trained, versions

EXCHANGES = 400
SEGMENTS = -(-2 * EXCHANGES // 256)


def passed(moment: float) -> bool:
    return time.monotonic() > moment


def same_model(one: Path, two: Path) -> None:
    first, second = trained(load_settings(one)), trained(load_settings(two))
    assert first.heads_sha256 == second.heads_sha256
    assert first.calibration == second.calibration
    assert first.report["heads"] == second.report["heads"]
    assert first.halves
    assert first.halves == second.halves


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_training_killed_at_every_stage_and_at_random_ends_as_an_undisturbed_one(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    calm, killed = (prepared(tmp_path / name, tiny_model_dir, EXCHANGES) for name in ("calm", "killed"))
    started = time.monotonic()
    assert Training(calm).end() == 0
    duration = time.monotonic() - started

    settings, draw = load_settings(killed), random.Random(4)
    reached = [name for name, seen in stages(settings, SEGMENTS).items() if Training(killed).kill_when(seen) and seen()]
    assert {"features", "heads", "judging"} <= set(reached)
    for _ in range(5):
        moment = time.monotonic() + draw.uniform(0.3, 1.0) * duration
        if versions(settings):
            break
        Training(killed).kill_when(partial(passed, moment))
    if not versions(settings):
        assert Training(killed).end() == 0
    assert versions(settings) == versions(load_settings(calm)) == [(1, "champion")]
    same_model(calm, killed)
    leftovers = list((settings.data_dir / "reward_models" / "reward").glob(".*"))
    assert not [path for path in leftovers if path.name != ".training.json"]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_fine_tuning_killed_between_its_steps_ends_as_an_undisturbed_one(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    """By the real command: killed after two different checkpoints, and once more before the version is registered."""
    tuning = {"rank": 4, "batch": 4, "ensemble": 1, "checkpoint_steps": 3}
    more = {"backbone_mode": "finetuned", "finetuning": tuning}
    calm, killed = (prepared(tmp_path / name, tiny_model_dir, 120, more) for name in ("calm", "killed"))
    assert Training(calm).end() == 0
    settings = load_settings(killed)
    folder = settings.data_dir / "reward_models" / "reward"
    checkpoint = folder / CHECKPOINT_FILE

    def another() -> Callable[[], bool]:
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        return lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns > seen

    for _ in range(2):
        assert Training(killed).kill_when(another())
        assert checkpoint.exists()
        assert versions(settings) == []
    Training(killed).kill_when(lambda: (folder / ".1.part").exists())
    if not versions(settings):
        assert Training(killed).end() == 0
    one, two = (_weights(load_settings(config)) for config in (calm, killed))
    assert one == two
    assert {"adapter/adapter_model.safetensors", "heads.safetensors"} == set(one)
    assert not list(folder.glob(f"{CHECKPOINT_FILE}*"))


def _weights(settings: Settings) -> dict[str, str]:
    """SHA-256 of a version's weights by file, as they are on the disk."""
    found = hash_folder(settings.data_dir / "reward_models" / "reward" / "1")
    return {name: value for name, value in found.items() if name.endswith(".safetensors")}


def _namespaces() -> bool:
    """Whether this machine lets anybody mount a small file system of their own."""
    try:
        command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["feature_cache", "reward_models"])
def test_a_full_disk_in_the_middle_of_training_is_said_and_changes_nothing(
    tmp_path: Path, tiny_model_dir: Path, place: str
) -> None:
    """A real file system of 100 kB, where features, and then a whole version, are to be written."""
    if not _namespaces():
        pytest.skip("no user namespaces here: a small file system cannot be mounted without being root")
    config = prepared(tmp_path / "small", tiny_model_dir, EXCHANGES)
    settings = load_settings(config)
    full = settings.data_dir / place
    full.mkdir()
    prefix = f"mount -t tmpfs -o size=100k tmpfs {full} &&"
    run = Training(config, prefix, ("unshare", "-Urm"))
    assert run.end() == 1
    assert "no_space_left" in run.said
    assert "make room" in run.said
    assert versions(settings) == []
    again = Training(config)
    assert again.end() == 0, again.said
    assert versions(settings) == [(1, "champion")]
