"""The faces one base shows during an update, and what they share in memory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from infra.contracts import PlauditError
from infra.models.lean.weights import LeanDecoder, lay_together, lean_decoder
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.lora import attach_lora, load_trainable
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.merging import copy_of, lora_pairs, merged_copy_of


class NoSuchLayer(PlauditError):
    """LoRA is to begin at a layer that the base does not have."""

    code = "no_such_layer"
    status = 400


@dataclass
class Models:
    """The four faces of one base: `base` untouched, `policy` the peft model that learns, `sampler` its merged copy,
    `reference` the champion merged (the base itself before any promotion)."""

    base: LoadedModel
    policy: Any
    sampler: Any
    reference: Any

    def learner(self) -> tuple[Any, torch.Tensor]:
        """(decoder, head) whose passes give gradients to the adapter: the merged sampler with the pairs laid open
        where its architecture allows, else the peft model."""
        decoder, head = decoder_and_head(self.sampler)
        prefix = next(name for name, module in self.sampler.named_modules() if module is decoder) + "."
        pairs = lora_pairs(self.policy)
        if all(name.startswith(prefix) for name in pairs):
            lean = lean_decoder(decoder, {name.removeprefix(prefix): pair for name, pair in pairs.items()})
            if isinstance(lean, LeanDecoder):
                return lean, head
        return decoder_and_head(self.policy)


def assemble_models(
    base: LoadedModel, wanted: PolicyUpdateSettings, champion: Path | None = None, seed: int = 0
) -> Models:
    """Policy (a fresh LoRA, or the champion's to go on from), merged sampler and reference around one base.

    Everything but the layers that LoRA touches is in memory once; the base's own layers serve base and policy.
    """
    lay_together(base.model)
    own = replace(base, model=copy_of(base.model, own=()))
    if champion is None:
        targets = linear_layers(own.model, wanted.lora_first_layer)
        policy = attach_lora(own, rank=wanted.lora_rank, alpha=wanted.lora_alpha, targets=targets, seed=seed)
    else:
        policy = load_trainable(own, champion)
    in_model_precision(policy, base.dtype)
    sampler = merged_copy_of(base.model, policy)
    reference = base.model if champion is None else merged_copy_of(base.model, policy)
    return Models(base=base, policy=policy, sampler=sampler, reference=reference)


def linear_layers(model: Any, first: int) -> str | list[str]:
    """peft's name for all linear layers, or the names of those in decoder layers from `first` on.

    Raises NoSuchLayer.
    """
    if first == 0:
        return "all-linear"
    layers = model.get_decoder().layers
    if first >= len(layers):
        raise NoSuchLayer(
            f"policy_update.lora_first_layer = {first}, but the base has {len(layers)} layers: choose 0 to "
            f"{len(layers) - 1}",
            field="policy_update.lora_first_layer",
        )
    within = {
        id(module) for layer in layers[first:] for module in layer.modules() if isinstance(module, torch.nn.Linear)
    }
    return [name for name, module in model.named_modules() if id(module) in within]


def in_model_precision(policy: Any, dtype: torch.dtype) -> None:
    """LoRA weights in the base's own precision: fp32 ones under a bf16 base would cast every activation twice. The
    optimiser keeps fp32 masters, so no step is lost to rounding."""
    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
