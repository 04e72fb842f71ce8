"""A training on disk, to be taken up after a kill: a folder for each checkpoint, complete or not there at all.

`checkpoint-000012/state.safetensors` holds the tensors, `state.json` everything else with the tensors' SHA-256. A
folder is written beside its place, forced to disk and renamed; older ones go after that.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import structlog
from torch import Tensor

from infra.contracts import PlauditError
from infra.durable import sync

log = structlog.get_logger(__name__)

KEPT = 2
_TENSORS, _NOTES = "state.safetensors", "state.json"
_PREFIX = "checkpoint-"


class CheckpointRefused(PlauditError):
    """A checkpoint that cannot be gone on from: damaged, or of another training."""

    code = "checkpoint_refused"


class CheckpointNotWritten(PlauditError):
    """The disk did not take a checkpoint; the one before it is untouched."""

    code = "checkpoint_not_written"
    status = 507


@dataclass(frozen=True)
class State:
    """A training after `step` steps. `notes` is JSON."""

    step: int
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training in `folder`, written every `every` steps. `fingerprint` names the training:
    settings, recipe, base, champion and reward model; one with another fingerprint is never gone on from."""

    folder: Path
    fingerprint: str
    every: int

    def due(self, step: int) -> bool:
        """Whether one is to be written after `step` steps."""
        return step % self.every == 0

    def write(self, state: State) -> Path:
        """Put one on disk and drop those before the last. Raises CheckpointNotWritten."""
        place = self.folder / f"{_PREFIX}{state.step:06d}"
        draft = self.folder / f".{place.name}.part"
        content = safetensors.torch.save({name: t.cpu().contiguous() for name, t in state.tensors.items()})
        notes = {
            "step": state.step,
            "fingerprint": self.fingerprint,
            "sha256": hashlib.sha256(content).hexdigest(),
            "notes": state.notes,
        }
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            _write(draft / _TENSORS, content)
            _write(draft / _NOTES, _sealed(notes))
            sync(draft)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(draft, place)
            sync(self.folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise CheckpointNotWritten(
                f"the checkpoint {place} ({len(content) / 1e6:.0f} MB) could not be written ({error.strerror}): make "
                "room or mend the permissions and start again; training goes on from the checkpoint before",
                field="data_dir",
            ) from error
        for old in self._found()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return place

    def newest(self) -> State | None:
        """The newest checkpoint that can be gone on from. One that cannot is named in the log and removed; None where
        none is left: training begins anew."""
        for place in reversed(self._found()):
            try:
                return self.read(place)
            except CheckpointRefused as refusal:
                log.warning("checkpoint_refused", path=str(place), reason=refusal.message)
                shutil.rmtree(place, ignore_errors=True)
        return None

    def read(self, place: Path) -> State:
        """The checkpoint in `place`. Raises CheckpointRefused."""
        try:
            document = _unsealed((place / _NOTES).read_bytes())
            content = (place / _TENSORS).read_bytes()
        except (OSError, ValueError) as error:
            raise CheckpointRefused(f"the checkpoint {place} is damaged ({error}): training begins anew") from error
        if hashlib.sha256(content).hexdigest() != document["sha256"]:
            raise CheckpointRefused(
                f"the checkpoint {place} is damaged ({_TENSORS} has another hash than it was written with): training "
                "begins anew"
            )
        if document["fingerprint"] != self.fingerprint:
            raise CheckpointRefused(
                f"the checkpoint {place} belongs to a training with other settings, base, champion or reward model "
                f"({document['fingerprint'][:12]}, this is {self.fingerprint[:12]}): training begins anew"
            )
        return State(document["step"], safetensors.torch.load(content), document["notes"])

    def clear(self) -> None:
        """The training is over: nothing of it is kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_PREFIX}*"))


def _sealed(document: Mapping[str, Any]) -> bytes:
    """JSON behind its own hash: damage to a step count or a rate must not go unseen."""
    text = json.dumps(document, sort_keys=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode()


def _unsealed(raw: bytes) -> dict[str, Any]:
    digest, _, text = raw.partition(b"\n")
    if hashlib.sha256(text).hexdigest() != digest.decode(errors="replace"):
        raise ValueError(f"{_NOTES} does not have the hash it begins with")
    document: dict[str, Any] = json.loads(text)
    return document


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
