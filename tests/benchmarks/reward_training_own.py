"""The fine-tuning of `reward_model.finetuning` on prepared token ids: `python -m ... TASK.json RESULT.json`.

Task and result as for `reward_training_trl`. A process of its own, so that its peak memory is its own.
"""

import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from infra.models.loading import load_folder
from reward_model.finetuning.examples import from_sequences
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.training import train_lora_reward_model


def main() -> None:
    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(task["threads"])
    cuda = torch.cuda.is_available()
    loaded = load_folder(Path(task["model"]))
    options = FinetuneOptions(
        rank=task["rank"],
        alpha=task["alpha"],
        loss="bt",
        learning_rate=task["learning_rate"],
        steps=task["steps"],
        batch=task["batch"],
        micro_tokens=task["micro_tokens"],
        ensemble=task["ensemble"],
        seed=task["seed"],
        **task.get("options", {}),
    )
    marks: list[tuple[float, float]] = []

    def mark(_fraction: float = 0.0, _text: str = "") -> None:
        if cuda:
            torch.cuda.synchronize()
        marks.append((time.perf_counter(), time.process_time()))

    examples = from_sequences([sequence for pair in task["train"] for sequence in pair])

    def begun() -> bool:
        if not marks:
            mark()
        return False

    trained = train_lora_reward_model(loaded, examples, options, progress=mark, should_stop=begun)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(marks)]
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    scores = trained.scorer.score_groups(task["held_out"], task["micro_tokens"])[:, -1, 0]
    result = {"steps": steps, "peak": peak, "losses": trained.losses, "scores": scores.view(-1, 2).tolist()}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
