"""A reward model on disk: `heads.safetensors`, and `reward_model.json` with the hash of the former. No pickle."""

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
from safetensors.torch import load_file, save_file
from torch import Tensor

from infra.contracts import PlauditError
from infra.models.hashes import hash_folder, sha256_file
from reward_model.calibration import Calibration, calibration_of

HEADS_FILE = "heads.safetensors"
MANIFEST_FILE = "reward_model.json"
FORMAT = 1


class DamagedRewardModel(PlauditError):
    """A folder does not hold the reward model its manifest describes."""

    code = "damaged_reward_model"


class HalfHeads(msgspec.Struct, frozen=True, kw_only=True):
    """The model of one half of the people: the manifest's objectives with its own weights and calibrations; `flip_rate`
    as estimated from its own pairs, `utility_scale` as in the manifest."""

    calibration: dict[str, Any]
    flip_rate: float = 0.0
    utility_scale: float = 1.0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the heads are. `calibration[head]` is a Calibration's document, in older ones (slope, offset); `flip_rate`
    what the utility head expects in recorded pairs, and `utility_scale` what a difference of utilities is divided by to
    be the log-odds of a preference (see `anchors`); `halves` are two models on disjoint halves of the people, or none;
    `report` and `card` are the metrics on held-out data and the description of the training set."""

    name: str
    version: int
    objectives: tuple[str, ...]
    base_model_hash: str
    tokenizer_hash: str
    template_hash: str
    layers: tuple[int, ...]
    max_prompt_tokens: int
    max_answer_tokens: int
    opening_tokens: int = 0
    encoder: str = ""
    calibration: dict[str, Any]
    flip_rate: float = 0.0
    utility_scale: float = 1.0
    halves: tuple[HalfHeads, ...] = ()
    heads_sha256: str = ""
    created_at: float = 0.0
    config_hash: str = ""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    card: dict[str, Any] = msgspec.field(default_factory=dict)
    format: int = FORMAT

    def calibration_of(self, head: str) -> Calibration:
        """The map from the head's logits to probabilities. Raises UnknownCalibration."""
        return calibration_of(self.calibration[head])


def write_folder(folder: Path, manifest: Manifest, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Write a reward model so that it appears whole or not at all; returns SHA-256 by file name.

    An unregistered leftover of a killed training in the same place is replaced.
    """
    draft = draft_of(folder)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_heads(draft, tensors)
    return publish_folder(folder, manifest)


def draft_of(folder: Path) -> Path:
    """Where the files of `folder` are written before they appear there together."""
    return folder.with_name(f".{folder.name}.part")


def save_heads(draft: Path, tensors: dict[str, Tensor]) -> None:
    """Write the tensors of a draft, over what is there."""
    draft.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft / HEADS_FILE)


def seal(draft: Path, manifest: Manifest) -> None:
    """Write the manifest of a draft, with the hash of its heads: from now on it can be read."""
    sealed = msgspec.structs.replace(manifest, heads_sha256=sha256_file(draft / HEADS_FILE))
    (draft / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=2))


def publish_folder(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Seal the draft of `folder` and put it in place, with whatever else the draft holds; SHA-256 by file name."""
    draft = draft_of(folder)
    seal(draft, manifest)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)
    return hash_folder(folder)


def read_folder(folder: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """Manifest and tensors of a folder. Raises DamagedRewardModel when anything is missing or changed."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
        actual = sha256_file(folder / HEADS_FILE)
    except (OSError, msgspec.DecodeError) as error:
        raise DamagedRewardModel(
            f"no reward model can be read from {folder} ({error}): restore the folder or train again "
            "(`plaudit reward-model train`)"
        ) from error
    if manifest.format != FORMAT or actual != manifest.heads_sha256:
        raise DamagedRewardModel(
            f"{folder / HEADS_FILE} is not what {MANIFEST_FILE} describes (SHA-256 {actual[:12]}, expected "
            f"{manifest.heads_sha256[:12]}, format {manifest.format}): restore the folder or train again"
        )
    return manifest, load_file(folder / HEADS_FILE)
