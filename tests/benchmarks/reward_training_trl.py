"""TRL's RewardTrainer on prepared token ids. Run by `bench_reward_training` with a Python that has TRL.

    PYTHON reward_training_trl.py TASK.json RESULT.json

Imports nothing of Plaudit. The task names the model folder, the pairs and the settings; the result holds the seconds of
each step, the peak memory before the evaluation, and the scores of the held-out answers.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch


def main() -> None:
    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(task["threads"])
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    cuda = torch.cuda.is_available()

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.steps: list[tuple[float, float]] = []
            self.begun = (0.0, 0.0)

        def on_step_begin(self, *_args: object, **_more: object) -> None:
            self.begun = (time.perf_counter(), time.process_time())

        def on_step_end(self, *_args: object, **_more: object) -> None:
            if cuda:
                torch.cuda.synchronize()
            wall, cpu = self.begun
            self.steps.append((time.perf_counter() - wall, time.process_time() - cpu))

    config = RewardConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=task["batch"],
        per_device_eval_batch_size=8,
        max_steps=task["steps"],
        learning_rate=task["learning_rate"],
        gradient_checkpointing=task["checkpointing"],
        train_sampling_strategy=task["sampling"],
        max_length=None,
        use_cpu=not cuda,
        bf16=True,
        model_init_kwargs={"dtype": "bfloat16"},
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,  # the column of lengths is read by the sampler alone
        seed=task["seed"],
        logging_steps=1,
    )
    data = Dataset.from_dict(
        {
            "chosen_ids": [a for a, _ in task["train"]],
            "rejected_ids": [b for _, b in task["train"]],
            "length": [max(len(a), len(b)) for a, b in task["train"]],
        }
    )
    lora = LoraConfig(
        r=task["rank"],
        lora_alpha=task["alpha"],
        target_modules="all-linear",
        task_type="SEQ_CLS",
        modules_to_save=["score"],
    )
    clock = Clock()
    trainer = RewardTrainer(
        task["model"],
        args=config,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        callbacks=[clock],
        peft_config=lora,
    )
    trainer.train()
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    padding = trainer.processing_class.pad_token_id
    result = {"steps": clock.steps, "peak": peak, "losses": losses}
    result["scores"] = _scores(trainer.model, task["held_out"], padding)
    Path(sys.argv[2]).write_text(json.dumps(result))


@torch.no_grad()
def _scores(model: Any, pairs: list[tuple[list[int], list[int]]], padding: int) -> list[list[float]]:
    """As the trainer evaluates: eight answers a batch, under autocast; like lengths together."""
    model.eval()
    place = next(model.parameters()).device
    answers = [ids for pair in pairs for ids in pair]
    order = sorted(range(len(answers)), key=lambda i: len(answers[i]))
    found = [0.0] * len(answers)
    for start in range(0, len(order), 8):
        rows = order[start : start + 8]
        width = max(len(answers[i]) for i in rows)
        ids = torch.tensor([answers[i] + [padding] * (width - len(answers[i])) for i in rows], device=place)
        mask = torch.tensor([[1] * len(answers[i]) + [0] * (width - len(answers[i])) for i in rows], device=place)
        with torch.autocast(place.type, torch.bfloat16):
            logits = model(input_ids=ids, attention_mask=mask).logits[:, 0]
        for i, value in zip(rows, logits.float().tolist(), strict=True):
            found[i] = value
    return [[a, b] for a, b in zip(found[::2], found[1::2], strict=True)]


if __name__ == "__main__":
    main()
