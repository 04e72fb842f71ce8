"""The front of two conflicting rewards: `python -m tests.benchmarks.bench_front [folder] [arm ...]`.

Each arm is one training of SmolLM2-135M-Instruct, and 1,000 answers and more of what came of it to prompts it never
saw. An arm that stands in the folder is not trained again: a run that was broken off goes on. Then docs/benchmarks/
front.md is written.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: spinning threads slow each other down

import numpy as np

from infra.models.loading import LoadedModel, load_base
from infra.settings import load_settings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.options import recipe_named
from policy_update.faces import assemble_models
from policy_update.records import StepRecord
from policy_update.scoring import rollout_sampler
from policy_update.trainer import Trainer
from tests.benchmarks import front_report, front_task

FOLDER = Path("plaudit-data/benchmarks/front")
CHUNK = 8
SETTINGS = PolicyUpdateSettings(
    steps=12,
    prompts_per_step=8,
    group_size=8,
    max_new_tokens=20,
    temperature=0.9,
    learning_rate=1.2e-3,
    final_rate=0.5,
    kl_coefficient=0.05,
    kl_target=0.4,
    kl_budget=0.8,
    multiplier_rate=20.0,
)


@dataclass(frozen=True)
class Arm:
    """One training: a recipe and the weights of love and formality (harm is a limit, where the recipe has limits);
    `changes` to SETTINGS; `answers` to each held-out prompt; `seed` of weights, order and sampling."""

    recipe: str
    love: float
    formality: float
    limits: dict[str, float] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    answers: int = front_task.ANSWERS_EACH
    seed: int = 0


ARMS = {
    "base": None,
    "gdpo-love": Arm("gdpo", 0.8, 0.2),
    "gdpo-even": Arm("gdpo", 0.5, 0.5),
    "gdpo-formality": Arm("gdpo", 0.2, 0.8),
    "constrained": Arm(
        "constrained",
        0.8,
        0.2,
        {"harm": 0.005},
        {"steps": 16, "prompts_per_step": 16, "group_size": 16},
        answers=32,
        seed=75,
    ),
    "constrained-12": Arm("constrained", 0.8, 0.2, {"harm": 0.005}),
    "sum-love": Arm("grpo", 0.8, 0.2),
    "sum-even": Arm("grpo", 0.5, 0.5),
    "sum-formality": Arm("grpo", 0.2, 0.8),
}
"""`constrained-12` came first (2026-11-28) and missed the limit: 1.7 % of held-out answers, upper bound 2.8 %. Then a
run with multipliers rising twice as fast (seed 71) was broken off after ten of twenty steps: its multiplier stood at
the ceiling from the third on, and love did not rise (0.12 to 0.24 of the rollouts). One of forty steps (seed 73) was
broken off after 34: its multiplier stood at the ceiling from the 21st on, love had risen to 0.4, and 2.1 % of the last
nine steps' rollouts were harmful: love was four fifths of the goal and likes harm's words. One that weighed
both goals alike (seed 74) was broken off after ten of 24: formality had risen to 0.50 and love fallen to 0.10 to 0.16.
Each step of theirs saw 64 answers, one to three of them harmful. `constrained` sees four times as many. Its settings
were fixed before any run with seed 75."""


def train(base: LoadedModel, arm: Arm) -> tuple[Any, dict[str, Any]]:
    """(the merged model that came of it, its history)."""
    settings = SETTINGS.model_copy(update={"limits": arm.limits, "seed": arm.seed, **arm.changes})
    weights = {"love": arm.love, "formality": arm.formality} | dict.fromkeys(arm.limits, 0.0)
    names = tuple(weights)
    models = assemble_models(base, settings, seed=1 + arm.seed)
    sample = rollout_sampler(base, settings, settings.group_size)
    trainer = Trainer(
        models, settings, recipe_named(arm.recipe), weights, sample, lambda rollout: front_task.rewards(rollout, names)
    )

    def report(record: StepRecord) -> None:
        told = {name: round(value, 3) for name, value in record.rewards.items()}
        print(
            f"  step {record.step + 1} of {settings.steps}: {told}, KL {record.kl:.3f} {record.multipliers}", flush=True
        )

    run = trainer.train(front_task.prompts()[0], report)
    steps = [{"kl": one.kl, "multipliers": one.multipliers, "rewards": one.rewards} for one in run.history]
    return models.sampler, {"steps": steps, "stopped": run.stopped}


def answers(base: LoadedModel, model: Any, each: int) -> list[str]:
    """`each` answers to each held-out prompt, prompt by prompt."""
    sample = rollout_sampler(base, SETTINGS, each)
    held_out = front_task.prompts()[1]
    texts: list[str] = []
    for start in range(0, len(held_out), CHUNK):
        texts += sample(model, held_out[start : start + CHUNK], 1_000 + start).texts
    return texts


def run_arm(base: LoadedModel, name: str, folder: Path) -> None:
    """Train and answer, unless the folder holds the arm already."""
    path = folder / f"{name}.json"
    if path.exists():
        return
    arm, started = ARMS[name], time.process_time()
    print(name, flush=True)
    model, history = (base.model, {}) if arm is None else train(base, arm)
    trained = time.process_time()
    each = arm.answers if arm else front_task.ANSWERS_EACH
    texts = answers(base, model, each)
    document = {
        "arm": name,
        "recipe": arm.recipe if arm else "",
        "weights": [arm.love, arm.formality] if arm else [],
        "limits": arm.limits if arm else {},
        "history": history,
        "prompt": np.repeat(np.arange(len(texts) // each), each).tolist(),
        "scores": front_task.scores(texts).tolist(),
        "samples": texts[:: each * 6],
        "cpu_seconds": {"training": trained - started, "answers": time.process_time() - trained},
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run the arms named (all of them by default), then write the page."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    base = load_base(load_settings())
    for name in arguments[1:] or ARMS:
        run_arm(base, name, folder)
    front_report.write(folder, list(ARMS))


if __name__ == "__main__":
    main(sys.argv[1:])
