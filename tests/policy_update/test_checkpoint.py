"""Checkpoints: whole or not there, the newest two, refused by name when damaged or of another training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from policy_update.checkpoint import CheckpointNotWritten, CheckpointRefused, Checkpoints, State


def state(step: int) -> State:
    return State(step, {"adapter/master.0": torch.full((3,), float(step))}, {"beta": 0.1 + step, "history": []})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "training", "mine", 2)


def test_the_newest_comes_back_and_two_are_kept(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None
    for step in (2, 4, 6):
        checkpoints.write(state(step))
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["checkpoint-000004", "checkpoint-000006"]
    found = checkpoints.newest()
    assert found is not None
    assert (found.step, found.notes["beta"]) == (6, 6.1)
    assert torch.equal(found.tensors["adapter/master.0"], torch.full((3,), 6.0))
    checkpoints.clear()
    assert not checkpoints.folder.exists()


def test_when_one_is_due(checkpoints: Checkpoints) -> None:
    assert [step for step in range(1, 7) if checkpoints.due(step)] == [2, 4, 6]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_damage_is_refused_by_name_and_the_one_before_taken(
    checkpoints: Checkpoints, damage: Callable[[Path], None], file: str
) -> None:
    checkpoints.write(state(2))
    place = checkpoints.write(state(4))
    damage(place / file)
    with pytest.raises(CheckpointRefused, match=r"checkpoint-000004 is damaged .* training begins anew"):
        checkpoints.read(place)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 2
    assert not place.exists()


def test_another_trainings_is_not_gone_on_from(checkpoints: Checkpoints) -> None:
    place = checkpoints.write(state(2))
    other = Checkpoints(checkpoints.folder, "another", 2)
    with pytest.raises(CheckpointRefused, match="other settings, base, champion or reward model"):
        other.read(place)
    assert other.newest() is None


def test_a_folder_half_written_is_no_checkpoint(checkpoints: Checkpoints) -> None:
    checkpoints.write(state(2))
    draft = checkpoints.folder / ".checkpoint-000004.part"
    draft.mkdir()
    (draft / "state.json").write_text(json.dumps({"step": 4}))
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 2
    checkpoints.write(state(4))
    assert not draft.exists()


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointNotWritten, match="make room or mend the permissions"):
        Checkpoints(tmp_path / "file", "mine", 1).write(state(1))
