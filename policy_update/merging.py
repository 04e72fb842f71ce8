"""Rollouts, training and references run on merged weights: W + scale * B A, computed in fp32 from the untouched base.

A merged copy needs no second product for every layer, is what serving will load, and recomputing it from the base after
every step leaves no merge/unmerge rounding behind. Copies share with the base whatever the adapter does not touch.
"""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from infra.models.lean.weights import lay_together


def copy_of(model: Any, own: Collection[str] | None = None) -> Any:
    """A frozen copy of a base model. `own` names the modules that get weights of their own; None: all do."""
    shared: dict[int, Any] = {}
    if own is not None:
        kept = {id(parameter) for name in own for parameter in model.get_submodule(name).parameters()}
        shared = {id(t): t for t in [*model.parameters(), *model.buffers()] if id(t) not in kept}
    duplicate = copy.deepcopy(model, shared)
    duplicate.requires_grad_(False)
    return duplicate.eval()


def merged_copy_of(model: Any, policy: Any) -> Any:
    """A copy to merge `policy` (a peft model of the same base) into: only the layers it touches are new."""
    duplicate = copy_of(model, list(lora_pairs(policy)))
    lay_together(duplicate)
    merge_into(duplicate, model, policy)
    return duplicate


def lora_pairs(policy: Any) -> dict[str, tuple[Tensor, Tensor, float]]:
    """(A, B, scale) of the active adapter by the name of the base's module."""
    found = {}
    for name, module in policy.base_model.model.named_modules():
        if not getattr(module, "lora_A", None):
            continue
        (adapter,) = module.active_adapters
        found[name] = (module.lora_A[adapter].weight, module.lora_B[adapter].weight, float(module.scaling[adapter]))
    return found


@torch.no_grad()
def merge_into(target: Any, base: Any, policy: Any) -> None:
    """Set every LoRA target of `target` to base + adapter. `policy` is the peft model; all three share one shape."""
    for name, (a, b, scale) in lora_pairs(policy).items():
        merged = torch.addmm(base.get_submodule(name).weight.float(), b.float(), a.float(), alpha=scale)
        target.get_submodule(name).weight.copy_(merged)
