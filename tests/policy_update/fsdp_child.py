"""One of two processes that hold the policy's layers in shards: its loss and the gradients of its LoRA, gathered."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from infra.models.loading import load_folder
from infra.models.lora import attach_lora
from policy_update.rollout import Rollout, sampled_logprobs
from policy_update.scoring import rollout_sampler
from tests.policy_update.training_child import CONVERSATIONS, letters


def loss_of(policy: Any, rollout: Rollout) -> torch.Tensor:
    """A policy gradient on the share of vowels, through peft's own forward pass."""
    advantage = letters(rollout).values[:, 0].float() - 0.2
    logprobs = sampled_logprobs(policy, rollout, slice(None), 1.0)
    return -(logprobs * advantage[:, None]).sum() / rollout.mask.sum()


def run_sharded(model: str, out: str, rank: int, size: int, port: int) -> None:
    """Rank 0 writes {"loss": ..., "gradients": {...}} to `out`; with one process nothing is sharded."""
    from infra.settings.policy_update import PolicyUpdateSettings

    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(size))
    base = load_folder(Path(model), device="cpu", dtype="float32")
    wanted = PolicyUpdateSettings(max_new_tokens=8, temperature=1.0)
    rollout = rollout_sampler(base, wanted, 4)(base.model, CONVERSATIONS, 1)
    policy = attach_lora(base, rank=4, alpha=8, seed=3)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    if size > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=size)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (size,))
        for layer in policy.get_base_model().get_decoder().layers:
            fully_shard(layer, mesh=mesh)
    loss = loss_of(policy, rollout)
    loss.backward()  # type: ignore[no-untyped-call]
    found = {}
    for name, parameter in policy.named_parameters():
        if parameter.grad is not None:
            whole = parameter.grad.full_tensor() if hasattr(parameter.grad, "full_tensor") else parameter.grad
            found[name] = whole.flatten().tolist()
    if rank == 0:
        Path(out).write_text(json.dumps({"loss": float(loss.detach()), "gradients": found}))
    if size > 1:
        torch.distributed.destroy_process_group()
