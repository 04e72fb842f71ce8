"""LoRA adapters through peft: make, save, verify and load; a wrong one is refused with the reason."""

import copy
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.models.errors import AdapterRefused
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
IDENTITY_FILE = "plaudit-adapter.json"
COLLECTED_FILE = "collected.json"
"""What retention leaves in the place of weights it has removed."""
A_SUFFIX, B_SUFFIX = ".lora_A.weight", ".lora_B.weight"
_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "layers_to_transform",
    "trainable_token_indices",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
)


def attach_lora(
    loaded: LoadedModel, *, rank: int = 16, alpha: float = 32.0, targets: str | list[str] = "all-linear", seed: int = 0
) -> Any:
    """A peft model around the base with a fresh trainable adapter named `default` (B = 0: it changes nothing yet).

    The base's linear layers are wrapped in place: one trainable adapter for each loaded base.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)
        return get_peft_model(loaded.model, config)


def save_adapter(model: Any, loaded: LoadedModel, folder: Path, adapter_name: str = "default") -> dict[str, str]:
    """Write one adapter of a peft model into `folder` (made; must be empty); SHA-256 by relative file name.

    Beside peft's two files stands `plaudit-adapter.json` with the hash of the base it belongs to.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: adapters are immutable, choose a new version")
    # Told not to look for new embeddings: peft would ask a model hub for the base's configuration.
    tensors = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, folder / WEIGHTS_FILE)
    config = copy.copy(model.peft_config[adapter_name])
    config.inference_mode = True
    config.base_model_name_or_path = loaded.path.name  # peft would write this machine's path
    config.save_pretrained(folder)
    (folder / IDENTITY_FILE).write_text(json.dumps({"base_model_hash": loaded.base_model_hash}))
    return hash_folder(folder)


def verify_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Every expected file is there with its SHA-256, and no other. Raises AdapterRefused."""
    if not folder.is_dir():
        raise AdapterRefused(
            f"adapter folder {folder} is missing: restore it, or let the next update train a new one",
            code="adapter_missing",
        )
    actual = hash_folder(folder)
    if COLLECTED_FILE in actual:
        raise AdapterRefused(
            f"retention has removed the weights of {folder} ({(folder / COLLECTED_FILE).read_text()[:200]}): restore "
            "the folder from the registry's artifacts, or let the next update train a new one",
            code="adapter_missing",
        )
    missing = sorted(set(expected) - set(actual))
    if missing:
        raise AdapterRefused(f"{folder} lacks {', '.join(missing)}: restore the files", code="adapter_missing")
    if not expected:
        raise AdapterRefused(
            f"no hashes were stored for {folder}: nothing says what was trained; retrain it", code="adapter_corrupt"
        )
    wrong = sorted(name for name in expected if actual[name] != expected[name])
    extra = sorted(set(actual) - set(expected))
    if wrong or extra:
        what = ", ".join([*(f"{n} has another hash" for n in wrong), *(f"{n} is not part of it" for n in extra)])
        raise AdapterRefused(
            f"{folder} is not what was trained ({what}): restore the original files",
            code="adapter_corrupt",
        )


def scale_of(config: Mapping[str, Any]) -> float:
    """What an adapter's product B A is multiplied by: alpha / rank, or alpha / sqrt(rank) for rsLoRA."""
    rank = int(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def verify_identity(folder: Path, loaded: LoadedModel) -> dict[str, Any]:
    """The peft configuration of an adapter that fits `loaded`. Raises AdapterRefused."""
    config = _read_json(folder / CONFIG_FILE)
    identity = _read_json(folder / IDENTITY_FILE)
    if identity.get("base_model_hash") != loaded.base_model_hash:
        raise AdapterRefused(
            f"{folder} was trained on base {str(identity.get('base_model_hash'))[:12]}, this engine runs "
            f"{loaded.base_model_hash[:12]}: load the same base model, or retrain",
            code="adapter_wrong_base",
        )
    used = [name for name in _UNSUPPORTED if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or used:
        raise AdapterRefused(
            f"{folder} uses {used or [config.get('peft_type'), config.get('bias')]}, which is not plain LoRA: train it "
            "without",
            code="adapter_unsupported",
        )
    return config


def read_weights(folder: Path) -> "dict[str, Any]":
    """Tensors by name. Raises AdapterRefused when the file is missing or no safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(folder / WEIGHTS_FILE))
    except FileNotFoundError as error:
        raise AdapterRefused(f"{folder / WEIGHTS_FILE} is missing: restore it", code="adapter_missing") from error
    except SafetensorError as error:
        raise AdapterRefused(
            f"{folder / WEIGHTS_FILE} cannot be read ({error}): restore the original file", code="adapter_corrupt"
        ) from error


def verify_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """The weights are LoRA pairs of the configuration's rank, finite, and change something: an adapter of zeros is the
    base under another name, so that whoever asks for it believes in an update that never was. Raises AdapterRefused."""
    import torch

    rank, weights = int(config["r"]), read_weights(folder)
    changes = False
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise AdapterRefused(f"{folder}: {name} holds NaN or infinity: retrain it", code="adapter_corrupt")
        found = tensor.shape[0] if name.endswith(A_SUFFIX) else tensor.shape[-1]
        if name.endswith((A_SUFFIX, B_SUFFIX)) and found != rank:
            raise AdapterRefused(
                f"{folder}: {name} has rank {found}, its configuration says {rank}: weights and configuration are of "
                "different adapters; restore the original files",
                code="adapter_wrong_rank",
            )
        if name.endswith(B_SUFFIX) and not changes:
            a = weights.get(name.removesuffix(B_SUFFIX) + A_SUFFIX)
            changes = a is not None and bool(tensor.any()) and bool(a.any())
    if not changes:
        raise AdapterRefused(
            f"{folder} changes nothing (every product B A is zero): it is the base under another name; train it anew",
            code="adapter_zero",
        )


def load_trainable(loaded: LoadedModel, folder: Path, adapter_name: str = "default", *, trainable: bool = True) -> Any:
    """A peft model around the base with the adapter of `folder` loaded. Raises AdapterRefused."""
    from peft import PeftModel

    verify_identity(folder, loaded)
    read_weights(folder)
    try:
        with _quiet():
            return PeftModel.from_pretrained(loaded.model, folder, adapter_name=adapter_name, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError) as error:
        raise AdapterRefused(
            f"{folder} does not fit {loaded.path.name} ({error}): rank or target modules differ from its configuration",
            code="adapter_corrupt",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """peft still asks transformers 5 for names that it is about to drop: their business, not the operator's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise AdapterRefused(f"{path} is missing: restore the adapter's folder", code="adapter_missing") from error
    except ValueError as error:
        raise AdapterRefused(f"{path} is no JSON ({error}): restore it", code="adapter_corrupt") from error
    if not isinstance(document, dict):
        raise AdapterRefused(f"{path} is no JSON object: restore it", code="adapter_corrupt")
    return document
