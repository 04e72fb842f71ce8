"""A training of the tiny model in a process of its own: `python -m tests.policy_update.training_child TASK.json`.

Or by `run` in a process that was forked after the imports, which take longer than the training.

The task names the model folder, settings, recipe, a folder for checkpoints and where to save the adapter's weights;
each step appends a line to `steps`. Rank 0 alone writes.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft  # noqa: F401  # so that a forked child need not
import torch
import transformers.models.llama.modeling_llama  # noqa: F401
from safetensors.torch import save_file

from infra.contracts import Message
from infra.models.loading import load_folder
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.options import recipe_named
from policy_update.checkpoint import Checkpoints
from policy_update.faces import assemble_models
from policy_update.objectives import Rewards
from policy_update.processes import Processes
from policy_update.rollout import Rollout
from policy_update.scoring import rollout_sampler
from policy_update.trainer import StepRecord, Trainer

CONVERSATIONS = tuple((Message("user", text),) for text in ("fast asleep?", "the capital?", "a week?", "how?"))


def letters(rollout: Rollout) -> Rewards:
    """Share of vowels in the answer."""
    share = [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in rollout.texts]
    values = torch.tensor(share, dtype=torch.float64)[:, None]
    return Rewards(("letters",), values, torch.full((1,), 0.01, dtype=torch.float64))


def run(path: str) -> None:
    """What the child does; its output goes to `log` beside the task."""
    with (Path(path).parent / "log").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        train(json.loads(Path(path).read_text()))


def run_as(path: str, rank: int, size: int, port: int) -> None:
    """`run` as one of several, told who it is as `accelerate launch` tells it."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port, "LOCAL_WORLD_SIZE": size}
    os.environ.update({name: str(value) for name, value in places.items()}, MASTER_ADDR="127.0.0.1")
    os.environ["ACCELERATE_USE_CPU"] = "true"
    run(path)


def train(task: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    processes = Processes.join()
    base = load_folder(Path(task["model"]), device="cpu", dtype="float32")
    wanted = PolicyUpdateSettings(**task["settings"])
    base = replace(base, context_length=512)
    trainer = Trainer(
        assemble_models(base, wanted, seed=7),
        wanted,
        recipe_named(wanted.recipe),
        {"letters": 1.0},
        rollout_sampler(base, wanted, wanted.group_size),
        letters,
        processes=processes,
        checkpoints=Checkpoints(Path(task["checkpoints"]), "one training", wanted.checkpoint_steps),
    )
    lines = Path(task["steps"])

    def note(record: StepRecord) -> None:
        if processes.leads:
            with lines.open("a") as stream:
                stream.write(f"{record.step} {record.loss!r} {record.gradient_norm!r} {record.kl!r}\n")
            time.sleep(task.get("pause", 0.0))

    run = trainer.train(CONVERSATIONS, note)
    if processes.leads:
        weights = {n: p.detach().clone() for n, p in trainer.models.policy.named_parameters() if p.requires_grad}
        save_file(weights, task["adapter"])
        Path(task["adapter"]).with_suffix(".json").write_text(json.dumps({"resumed_at": run.resumed_at}))


if __name__ == "__main__":
    train(json.loads(Path(sys.argv[1]).read_text()))
