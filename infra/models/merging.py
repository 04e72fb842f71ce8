"""An adapter as a model of its own: W + scale B A, added in fp32 to the untouched base and rounded once.

A merged copy needs no second product for every layer, computes exactly what the trainer
sampled from and fingerprinted, and has no "active adapter" switch that could be left in the wrong position. What the
adapter does not touch (embeddings, norms) is shared with the base.
"""

import copy
from pathlib import Path
from typing import Any

import torch

from infra.models.errors import AdapterRefused
from infra.models.loading import LoadedModel
from infra.models.lora import read_weights, scale_of, verify_identity

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def merged_copy(loaded: LoadedModel, folder: Path) -> Any:
    """A frozen model that answers as base + adapter. Raises AdapterRefused when the adapter does not fit."""
    targets, scale = read_pairs(loaded, folder)
    modules = dict(loaded.model.named_modules())
    replaced = {id(modules[name].weight) for name in targets}
    shared = {id(p): p for p in [*loaded.model.parameters(), *loaded.model.buffers()] if id(p) not in replaced}
    merged = copy.deepcopy(loaded.model, shared)
    own = dict(merged.named_modules())
    with torch.no_grad():
        for name, (a, b) in targets.items():
            delta = b.to(loaded.device).float() @ a.to(loaded.device).float() * scale
            own[name].weight.copy_(modules[name].weight.float() + delta)
    merged.requires_grad_(False)
    return merged.eval()


def read_pairs(loaded: LoadedModel, folder: Path) -> tuple[dict[str, tuple[Any, Any]], float]:
    """(A, B) by name of the base's module, and the scale of their product. Raises AdapterRefused when the adapter does
    not fit."""
    config = verify_identity(folder, loaded)
    targets = _targets(read_weights(folder), folder)
    _check_fit(targets, dict(loaded.model.named_modules()), int(config["r"]), folder)
    return targets, scale_of(config)


def _targets(weights: dict[str, Any], folder: Path) -> dict[str, tuple[Any, Any]]:
    """(A, B) by name of the base's module."""
    names = {key.removeprefix(_PREFIX).removesuffix(_A) for key in weights if key.endswith(_A)}
    expected = {f"{_PREFIX}{name}{end}" for name in names for end in (_A, _B)}
    strange = sorted(set(weights) ^ expected)
    if strange or not names:
        raise AdapterRefused(
            f"{folder} has tensors that are no LoRA pair ({', '.join(strange[:3]) or 'none at all'}): train it as "
            "plain LoRA on linear layers",
            code="adapter_unsupported",
        )
    return {name: (weights[f"{_PREFIX}{name}{_A}"], weights[f"{_PREFIX}{name}{_B}"]) for name in names}


def _check_fit(targets: dict[str, tuple[Any, Any]], modules: dict[str, Any], rank: int, folder: Path) -> None:
    for name, (a, b) in targets.items():
        module = modules.get(name)
        if not isinstance(module, torch.nn.Linear):
            raise AdapterRefused(f"{folder} changes {name}, which the base has not", code="adapter_wrong_base")
        if a.shape != (rank, module.in_features) or b.shape != (module.out_features, rank):
            raise AdapterRefused(
                f"{folder}: {name} has A {tuple(a.shape)} and B {tuple(b.shape)}, but rank {rank} on "
                f"{module.in_features} -> {module.out_features} needs {(rank, module.in_features)} and "
                f"{(module.out_features, rank)}: weights and configuration are of different adapters",
                code="adapter_corrupt",
            )
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise AdapterRefused(f"{folder}: {name} holds NaN or infinity: retrain it", code="adapter_corrupt")
