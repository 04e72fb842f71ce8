"""Adapter folders in and out of the linear algebra: plain LoRA as peft writes it, scale and identity included."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.models.errors import AdapterRefused
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel
from infra.models.lora import CONFIG_FILE, IDENTITY_FILE, WEIGHTS_FILE, read_weights, scale_of, verify_identity
from policy_update.candidates.linear import Layers, Pair, combine, of_rank

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def read_layers(folder: Path, base: LoadedModel) -> dict[str, Pair]:
    """Every layer's change, by the layer's name in the base. Raises AdapterRefused."""
    config = verify_identity(folder, base)
    weights, scale = read_weights(folder), scale_of(config)
    names = sorted(key.removeprefix(_PREFIX).removesuffix(_A) for key in weights if key.endswith(_A))
    missing = [name for name in names if f"{_PREFIX}{name}{_B}" not in weights]
    if missing or not names:
        raise AdapterRefused(
            f"{folder} has no LoRA pair {'for ' + missing[0] if missing else 'at all'}: restore its files",
            code="adapter_corrupt",
        )
    return {
        name: Pair(weights[f"{_PREFIX}{name}{_A}"].float(), scale * weights[f"{_PREFIX}{name}{_B}"].float())
        for name in names
    }


def write_combination(
    base: LoadedModel, parts: Sequence[tuple[float, Path]], folder: Path, largest_rank: int
) -> tuple[dict[str, str], float]:
    """The adapter sum_i c_i D_i as a folder (made; must be empty): (SHA-256 by file, share lost to the rank).

    One part alone is scaled by its `lora_alpha`, its tensors left as they are to the bit. Several are concatenated in
    float32, the scale folded into B, and cut to `largest_rank` where they are above it. Raises AdapterRefused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: adapters are immutable, choose a new version")
    used = [(coefficient, path) for coefficient, path in parts if coefficient]
    if len(used) == 1:
        coefficient, path = used[0]
        config = verify_identity(path, base)
        weights = read_weights(path)
        lost = 0.0
        config["lora_alpha"] = coefficient * float(config["lora_alpha"])
    else:
        config = verify_identity(used[0][1], base)
        combined = combine([(coefficient, read_layers(path, base)) for coefficient, path in used])
        rank = min(largest_rank, max(pair.a.shape[0] for pair in combined.values()))
        layers, lost = of_rank(combined, rank)
        weights = _peft_weights(layers)
        config |= {"r": rank, "lora_alpha": float(rank), "use_rslora": False, "target_modules": sorted(layers)}
    _write(folder, config, weights, base)
    return hash_folder(folder), lost


def _write(folder: Path, config: dict[str, Any], weights: dict[str, Any], base: LoadedModel) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    (folder / IDENTITY_FILE).write_text(json.dumps({"base_model_hash": base.base_model_hash}))


def _peft_weights(layers: Layers) -> dict[str, Any]:
    named = {}
    for name, pair in layers.items():
        named[f"{_PREFIX}{name}{_A}"], named[f"{_PREFIX}{name}{_B}"] = pair.a, pair.b
    return named
