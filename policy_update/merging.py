"""Rollouts and references run on merged weights: W + scale * B A, computed in fp32 from the untouched base.

A merged copy needs no second product for every layer, and recomputing it from the base after
every step leaves no merge/unmerge rounding behind.
"""

import copy
from typing import Any

import torch
from torch import Tensor


def copy_of(model: Any) -> Any:
    """A frozen copy of a base model with weights of its own."""
    duplicate = copy.deepcopy(model)
    duplicate.requires_grad_(False)
    return duplicate.eval()


@torch.no_grad()
def merge_into(target: Any, base: Any, policy: Any) -> None:
    """Set every LoRA target of `target` to base + adapter. `policy` is the peft model; all three share one shape."""
    ours, originals = dict(target.named_modules()), dict(base.named_modules())
    for name, module in policy.base_model.model.named_modules():
        if not getattr(module, "lora_A", None):
            continue
        delta: Tensor = torch.zeros(())
        for adapter in module.active_adapters:
            a, b = module.lora_A[adapter].weight.float(), module.lora_B[adapter].weight.float()
            delta = delta + b @ a * module.scaling[adapter]
        ours[name].weight.copy_(originals[name].weight.float() + delta)
