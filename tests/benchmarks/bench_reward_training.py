"""Fine-tuning a reward model, side by side with TRL's RewardTrainer: pairs a second, peak memory, hold-out accuracy.

    python -m tests.benchmarks.bench_reward_training speed --trl-python PYTHON [--rounds 3] [--steps 4]
    python -m tests.benchmarks.bench_reward_training accuracy --trl-python PYTHON [--steps 40]

TRL is no dependency of Plaudit. Make it a place that borrows everything else from `.venv`:

    python -m venv --without-pip /tmp/trl
    echo "$PWD/.venv/lib/python3.11/site-packages" > /tmp/trl/lib/python3.11/site-packages/plaudit.pth
    .venv/bin/python -m pip --python /tmp/trl/bin/python install --no-deps \\
        trl==1.16.0 datasets==5.2.0 multiprocess dill xxhash

and give `--trl-python /tmp/trl/bin/python`. Both sides get the same model folder, token ids, batch, precision (bf16
weights), LoRA (rank 16 on all linear layers and a trained head), loss (Bradley-Terry), rate and schedule, the same
number of threads, and a process of their own; contestants take turns. Uses a GPU where torch finds one. Results go to
`--out` as JSON, one file a command; `report` prints their tables.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra.models.fetch import fetch_base
from infra.models.loading import load_folder
from infra.settings import load_settings
from tests.benchmarks import reward_training_trl
from tests.benchmarks.reward_training_data import conversations, split, tokenised

OWN = "plaudit"
TRL = {
    "TRL, its defaults": {"checkpointing": True, "sampling": "random"},
    "TRL, grouped by length": {"checkpointing": True, "sampling": "group_by_length"},
    "TRL, no checkpointing": {"checkpointing": False, "sampling": "random"},
    "TRL, no checkpointing, grouped by length": {"checkpointing": False, "sampling": "group_by_length"},
}


def run(name: str, task: dict[str, Any], trl_python: str) -> dict[str, Any]:
    """One contestant in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "task.json", Path(folder) / "result.json"
        given.write_text(json.dumps(task | TRL.get(name, {})))
        own = [sys.executable, "-m", "tests.benchmarks.reward_training_own"]
        command = own if name == OWN else [trl_python, reward_training_trl.__file__]
        environment = os.environ | {"OMP_NUM_THREADS": str(task["threads"]), "HF_HUB_OFFLINE": "1"}
        subprocess.run([*command, str(given), str(found)], check=True, env=environment, stdout=subprocess.DEVNULL)
        result: dict[str, Any] = json.loads(found.read_text())
        return result


def make_task(arguments: argparse.Namespace) -> dict[str, Any]:
    """What both sides are told."""
    folder = fetch_base(load_settings())
    loaded = load_folder(folder, device="cpu")
    pairs = tokenised(loaded, conversations(), arguments.max_length)
    training, held_out = split(pairs, arguments.held_out)
    return {
        "model": str(folder),
        "train": [pairs[i] for i in training],
        "held_out": [pairs[i] for i in held_out],
        "batch": arguments.batch,
        "steps": arguments.steps,
        "learning_rate": arguments.learning_rate,
        "rank": 16,
        "alpha": 32.0,
        "threads": arguments.threads,
        "micro_tokens": arguments.micro_tokens,
        "ensemble": 0,
        "seed": arguments.seed,
    }


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Pairs a second (the first step, which warms up, is left out) and peak memory, by contestant and round."""
    task = make_task(arguments)
    task["held_out"] = []
    names = [OWN, *TRL] if arguments.all else [OWN, *list(TRL)[:1]]
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(arguments.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            result = run(name, task, arguments.trl_python)
            wall, cpu = (sum(column) for column in zip(*result["steps"][1:], strict=True))
            pairs = task["batch"] * (task["steps"] - 1)
            row = {"pairs_a_second": pairs / wall, "pairs_a_cpu_second": pairs / cpu, "peak": result["peak"]}
            rounds[name].append(row)
            print(f"round {turn + 1} {name}: {row}", flush=True)
    return {"rounds": rounds}


def accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    """Hold-out accuracy of both after as many steps, and the paired difference with its 95 % bootstrap interval."""
    task = make_task(arguments)
    other = "TRL, no checkpointing, grouped by length"  # the same training as by its defaults, much sooner
    names = (OWN, other)
    with ThreadPoolExecutor() as both:  # in no hurry: this is not timed
        results = dict(zip(names, both.map(lambda name: run(name, task, arguments.trl_python), names), strict=True))
    scores = {name: np.array(result["scores"]) for name, result in results.items()}
    right = {name: (values[:, 0] > values[:, 1]).astype(float) for name, values in scores.items()}
    difference = right[OWN] - right[other]
    draws = np.random.default_rng(0).integers(0, len(difference), (10_000, len(difference)))
    low, high = np.quantile(difference[draws].mean(1), [0.025, 0.975])
    means = {name: float(values.mean()) for name, values in right.items()}
    return {"accuracy": means, "difference": float(difference.mean()), "low": float(low), "high": float(high)}


def report(folder: Path) -> None:
    """The tables of the page."""
    found = json.loads((folder / "speed.json").read_text())["result"]
    base = next(iter(TRL))
    print("| | pairs/s | pairs/CPU-s | times TRL's (CPU-s) | peak memory |\n|---|---|---|---|---|")
    for name, rows in found["rounds"].items():
        column = {key: [row[key] for row in rows] for key in rows[0]}
        wall, cpu = column["pairs_a_second"], column["pairs_a_cpu_second"]
        ratios = [a / b["pairs_a_cpu_second"] for a, b in zip(cpu, found["rounds"][base], strict=True)]
        print(
            f"| {name} | {_spread(wall)} | {_spread(cpu)} | {_spread(ratios)} | "
            f"{statistics.median(column['peak']) / 2**30:.2f} GiB |"
        )
    if (folder / "accuracy.json").is_file():
        print(json.dumps(json.loads((folder / "accuracy.json").read_text())["result"], indent=1))


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["speed", "accuracy", "report"])
    parser.add_argument("--trl-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path("plaudit-data/bench-reward-training"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=256, help="longer pairs are left out, as TRL does")
    parser.add_argument("--held-out", type=int, default=300, help="pairs the accuracy is measured on")
    parser.add_argument("--micro-tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="TRL in other ways as well")
    arguments = parser.parse_args()
    if arguments.command == "report":
        report(arguments.out)
        return
    result = speed(arguments) if arguments.command == "speed" else accuracy(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = {key: value for key, value in vars(arguments).items() if key not in ("out", "trl_python")}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    document = {"arguments": told, "torch": torch.__version__, "device": device, "result": result}
    (arguments.out / f"{arguments.command}.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
