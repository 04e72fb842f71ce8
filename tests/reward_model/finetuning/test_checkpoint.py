"""A checkpoint is whole or refused, and a full disk costs nothing that was there."""

import errno
from pathlib import Path

import pytest
import torch

from reward_model.finetuning import checkpoint as module
from reward_model.finetuning.checkpoint import (
    Checkpoint,
    CheckpointNotWritten,
    CheckpointRefused,
    read_checkpoint,
    write_checkpoint,
)


def make(step: int = 3) -> Checkpoint:
    return Checkpoint(
        "f" * 64, step, {"a": torch.arange(6.0).view(2, 3), "skipped": torch.tensor(1)}, {"losses": [0.5]}
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "checkpoint"
    assert read_checkpoint(path, "f" * 64) is None
    write_checkpoint(path, make())
    found = read_checkpoint(path, "f" * 64)
    assert found is not None
    assert (found.step, found.notes) == (3, {"losses": [0.5]})
    assert torch.equal(found.tensors["a"], make().tensors["a"])
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("place", [0, 40, -1])
def test_one_wrong_byte_is_seen(tmp_path: Path, place: int) -> None:
    write_checkpoint(tmp_path / "c", make())
    content = bytearray((tmp_path / "c").read_bytes())
    content[place] ^= 1
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(CheckpointRefused, match=r"damaged.*delete it"):
        read_checkpoint(tmp_path / "c", "f" * 64)


def test_half_a_file_is_seen(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", make())
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:50])
    with pytest.raises(CheckpointRefused, match="damaged"):
        read_checkpoint(tmp_path / "c", "f" * 64)


def test_one_of_another_training_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", make())
    with pytest.raises(CheckpointRefused, match="other data, options or base model"):
        read_checkpoint(tmp_path / "c", "0" * 64)


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "c", make(3))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(CheckpointNotWritten, match=r"No space left on device.*make room"):
        write_checkpoint(tmp_path / "c", make(4))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    found = read_checkpoint(tmp_path / "c", "f" * 64)
    assert found is not None
    assert found.step == 3
