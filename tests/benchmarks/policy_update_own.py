"""The trainer of `policy_update` on given prompts: `python -m ... TASK.json RESULT.json`.

Task and result as for `policy_update_trl`. A process of its own, so that its peak memory is its own.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from infra.contracts import Message
from infra.models.loading import load_folder
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.options import recipe_named
from policy_update.faces import assemble_models
from policy_update.objectives import Rewards
from policy_update.rollout import Rollout
from policy_update.scoring import rollout_sampler
from policy_update.trainer import StepRecord, Trainer


def vowels(rollout: Rollout) -> Rewards:
    """Share of vowels in each answer: a reward that costs nothing."""
    share = [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in rollout.texts]
    return Rewards(("letters",), torch.tensor(share, dtype=torch.float64)[:, None], torch.zeros(1, dtype=torch.float64))


def main() -> None:
    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(task["threads"])
    base = replace(load_folder(Path(task["model"])), end_ids=())  # no end: every answer has all its tokens
    wanted = PolicyUpdateSettings(
        recipe=task["recipe"],
        steps=task["steps"],
        prompts_per_step=task["prompts"],
        group_size=task["group"],
        max_new_tokens=task["new_tokens"],
        temperature=task["temperature"],
        learning_rate=task["learning_rate"],
        lora_rank=task["rank"],
        lora_alpha=task["alpha"],
        kl_coefficient=task["beta"],
        kl_budget=1e9,
        kl_target=1e9,
        seed=task["seed"],
        **task["own"],
    )
    tokens: list[int] = []
    drawn = rollout_sampler(base, wanted, wanted.group_size)

    def sample(model: Any, conversations: Sequence[Any], seed: int, *, first: int = 0, greedy: bool = False) -> Rollout:
        rollout = drawn(model, conversations, seed, first=first, greedy=greedy)
        tokens.append(int(rollout.mask.sum()))
        return rollout

    models = assemble_models(base, wanted)
    trainer = Trainer(models, wanted, recipe_named(wanted.recipe), {"letters": 1.0}, sample, vowels)
    conversations = [(Message("user", text),) for text in task["texts"]]
    steps: list[dict[str, float]] = []
    marks = [(time.perf_counter(), time.process_time())]

    def note(record: StepRecord) -> None:
        (begun, cpu), after = marks[-1], (time.perf_counter(), time.process_time())
        marks.append(after)
        row = {"total": after[0] - begun, "generation": record.sampling_seconds, "scoring": record.scoring_seconds}
        row |= {"update": record.update_seconds, "cpu": after[1] - cpu, "tokens": tokens[-1]}
        steps.append(row)
        print(row, file=sys.stderr, flush=True)

    trainer.train(conversations, note)
    cuda = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(sys.argv[2]).write_text(json.dumps({"steps": steps, "peak": peak}))


if __name__ == "__main__":
    main()
