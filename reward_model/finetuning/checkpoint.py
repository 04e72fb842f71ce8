"""A training on disk, to be taken up after a kill: one file, replaced whole, that knows whether it is intact."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from infra.contracts import PlauditError

_HASH_BYTES = 32


class CheckpointRefused(PlauditError):
    """A checkpoint that cannot be gone on from: damaged, or of another training."""

    code = "checkpoint_refused"


class CheckpointDamaged(CheckpointRefused):
    """A checkpoint whose content is not what was written."""


class CheckpointNotWritten(PlauditError):
    """The disk did not take a checkpoint; the one before it is untouched."""

    code = "checkpoint_not_written"
    status = 507


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps of the training `fingerprint` names; `notes` is JSON (the losses so far)."""

    fingerprint: str
    step: int
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`, on disk before the old one goes. Raises CheckpointNotWritten."""
    head = {"fingerprint": checkpoint.fingerprint, "step": str(checkpoint.step), "notes": json.dumps(checkpoint.notes)}
    content = safetensors.torch.save({k: v.contiguous() for k, v in checkpoint.tensors.items()}, head)
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            stream.write(hashlib.sha256(content).digest())
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CheckpointNotWritten(
            f"the checkpoint {path} ({len(content) / 1e6:.0f} MB) could not be written ({error.strerror}): make room "
            "or mend the permissions and start the training again; it goes on from the checkpoint before",
            field="data_dir",
        ) from error


def read_checkpoint(path: Path, fingerprint: str) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none. Raises CheckpointRefused."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    content = raw[_HASH_BYTES:]
    if hashlib.sha256(content).digest() != raw[:_HASH_BYTES]:
        raise CheckpointDamaged(
            f"the checkpoint {path} is damaged (its content does not have the hash it begins with): delete it to train "
            "from the start, or restore it"
        )
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])["__metadata__"]
    if head["fingerprint"] != fingerprint:
        raise CheckpointRefused(
            f"the checkpoint {path} belongs to a training with other data, options or base model "
            f"({head['fingerprint'][:12]}, this is {fingerprint[:12]}): delete it to train from the start"
        )
    tensors = safetensors.torch.load(content)
    return Checkpoint(fingerprint, int(head["step"]), tensors, json.loads(head["notes"]))
