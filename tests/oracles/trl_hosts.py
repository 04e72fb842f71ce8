"""What TRL's loss methods ask of the trainer they belong to: one process, no model, given log-probabilities."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from policy_update.algebra.experience import Targets


class Accelerator(SimpleNamespace):
    """One process: gathering and reducing give back what they got."""

    num_processes = 1
    sync_gradients = True
    device = torch.device("cpu")

    def gather(self, value: Tensor) -> Tensor:
        return value

    gather_for_metrics = gather

    def reduce(self, value: Tensor, reduction: str = "sum") -> Tensor:
        return value


def host(new: Tensor, **fields: Any) -> Any:
    """A stand-in for `self`: the policy's log-probabilities are `new` (N, T)."""

    def outputs(*_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor, None]:
        return new, torch.zeros_like(new), None

    arguments = {
        "delta": None,
        "use_bias_correction_kl": False,
        "steps_per_generation": 1,
        **fields.pop("args", {}),
    }
    standard = {
        "_get_per_token_logps_and_entropies": outputs,
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "beta": 0.0,
        "loss_type": "grpo",
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "use_vllm": False,
        "vllm_importance_sampling_correction": False,
        "model": SimpleNamespace(training=True),
        "current_gradient_accumulation_steps": 1,
        "accelerator": Accelerator(),
        "_entropy_bonus_enabled": False,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "args": SimpleNamespace(**arguments),
    }
    return SimpleNamespace(**{**standard, **fields})


def inputs(targets: Targets) -> dict[str, Any]:
    """The batch TRL's trainer would have made of our targets: `advantages` (N,) of each answer's first token."""
    mask = targets.mask.long()
    ids = torch.zeros_like(mask)
    return {
        "prompt_ids": ids[:, :1],
        "prompt_mask": mask[:, :1],
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": targets.advantages[:, 0],
        "old_per_token_logps": targets.old_logprobs,
        "old_logps": (targets.old_logprobs * mask).sum(1),
        "ref_per_token_logps": targets.reference_logprobs,
        "importance_sampling_ratio": targets.weights,
        "num_items_in_batch": mask.sum(),
    }
