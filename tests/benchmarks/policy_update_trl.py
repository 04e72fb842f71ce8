"""TRL's GRPOTrainer on given prompts. Run by `bench_policy_update` with a Python that has TRL.

    PYTHON policy_update_trl.py TASK.json RESULT.json

Imports nothing of Plaudit. The result holds the seconds of each step by phase, the tokens generated and the peak
memory.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch


def vowels(completions: list[Any], completion_ids: list[list[int]], **_more: object) -> list[float]:
    """Share of vowels in each answer: a reward that costs nothing."""
    COUNTED.append(sum(map(len, completion_ids)))
    texts = [completion[0]["content"] for completion in completions]
    return [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in texts]


COUNTED: list[int] = []
"""Tokens of each rollout."""


def settings(task: dict[str, Any], cuda: bool) -> Any:
    """What TRL is told: everything that is not named is its own default."""
    from trl import GRPOConfig

    more: dict[str, Any] = {"use_vllm": True, "vllm_mode": "colocate"} if task["vllm"] else {}
    if not task["vllm"]:
        more["generation_kwargs"] = {"min_new_tokens": task["new_tokens"]}
    else:
        more["generation_kwargs"] = {"min_tokens": task["new_tokens"], "ignore_eos": True}
    return GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=task["micro_batch"],
        gradient_accumulation_steps=task["prompts"] * task["group"] // task["micro_batch"],
        num_generations=task["group"],
        max_completion_length=task["new_tokens"],
        temperature=task["temperature"],
        top_p=1.0,
        top_k=0,
        beta=task["beta"],
        learning_rate=task["learning_rate"],
        max_steps=task["steps"],
        gradient_checkpointing=task["checkpointing"],
        use_cpu=not cuda,
        bf16=True,
        model_init_kwargs={"dtype": "bfloat16"},
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        shuffle_dataset=False,
        seed=task["seed"],
        **more,
    )


def main() -> None:
    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(task["threads"])
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    cuda = torch.cuda.is_available()
    steps: list[dict[str, float]] = []
    spent = {"generation": 0.0, "scored": 0.0}

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    class Timed(GRPOTrainer):  # type: ignore[misc]
        def _generate(self, *args: Any, **more: Any) -> Any:
            begun = now()
            result = super()._generate(*args, **more)
            spent["generation"] += now() - begun
            return result

        def _generate_and_score_completions(self, *args: Any, **more: Any) -> Any:
            begun = now()
            result = super()._generate_and_score_completions(*args, **more)
            spent["scored"] += now() - begun
            return result

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_args: object, **_more: object) -> None:
            self.begun, self.cpu = now(), time.process_time()
            spent.update(generation=0.0, scored=0.0)

        def on_step_end(self, *_args: object, **_more: object) -> None:
            total = now() - self.begun
            row = {"total": total, "generation": spent["generation"], "scoring": spent["scored"] - spent["generation"]}
            row |= {"update": total - spent["scored"], "cpu": time.process_time() - self.cpu, "tokens": COUNTED[-1]}
            steps.append(row)
            print(row, file=sys.stderr, flush=True)

    prompts = [[{"role": "user", "content": text}] for text in task["texts"]]
    trainer = Timed(
        task["model"],
        reward_funcs=vowels,
        args=settings(task, cuda),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        callbacks=[Clock()],
        peft_config=LoraConfig(
            r=task["rank"], lora_alpha=task["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trainer.train()
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(sys.argv[2]).write_text(json.dumps({"steps": steps, "peak": peak}))


if __name__ == "__main__":
    main()
