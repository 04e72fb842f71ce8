"""Fine-tuning a reward model, side by side with TRL's RewardTrainer: pairs a second, peak memory, hold-out accuracy.

    python -m tests.benchmarks.bench_reward_training speed --trl-python PYTHON [--rounds 3] [--steps 4]
    python -m tests.benchmarks.bench_reward_training accuracy --trl-python PYTHON [--steps 24] [--seeds 3]

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
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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


def make_task(arguments: argparse.Namespace, seed: int | None = None) -> dict[str, Any]:
    """What both sides are told. With a `seed` it deals out which pairs are held out as well; `pairs` names them."""
    folder = fetch_base(load_settings())
    if arguments.layers:
        folder = first_layers(folder, arguments.layers, arguments.out)
    loaded = load_folder(folder, device="cpu")
    pairs = tokenised(loaded, conversations(), arguments.max_length)
    training, held_out = split(pairs, arguments.held_out, seed or 0)
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
        "seed": arguments.seed if seed is None else seed,
        "pairs": held_out,
    }


def first_layers(folder: Path, count: int, out: Path) -> Path:
    """The model with its first `count` layers alone: a backbone for both sides that costs a machine less."""
    place = out.resolve() / f"{folder.name}-first-{count}"
    if not (place / "config.json").is_file():
        loaded = load_folder(folder, device="cpu")
        loaded.model.model.layers = loaded.model.model.layers[:count]
        loaded.model.config.num_hidden_layers = count
        loaded.model.save_pretrained(place)
        loaded.tokenizer.save_pretrained(place)
    return place


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
    """Hold-out accuracy of both after as many steps, pooled over seeds, each with its own initial values, order of
    batches and held-out pairs; and the paired difference with its 95 % interval."""
    other = "TRL, no checkpointing"  # the same training as by its defaults, sooner
    right: dict[str, list[np.ndarray[Any, Any]]] = {OWN: [], other: []}
    held = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        task = make_task(arguments, seed)
        held.append(task["pairs"])
        for name, found in right.items():
            scores = np.array(_kept(name, task, arguments)["scores"])
            found.append((scores[:, 0] > scores[:, 1]) + 0.5 * (scores[:, 0] == scores[:, 1]))
            print(f"seed {seed} {name}: {found[-1].mean():.3f}", flush=True)
    differences = [mine - theirs for mine, theirs in zip(right[OWN], right[other], strict=True)]
    low, high = pooled_interval(differences, held)
    return {
        "accuracy": {name: float(np.concatenate(found).mean()) for name, found in right.items()},
        "by_seed": {name: [float(one.mean()) for one in found] for name, found in right.items()},
        "difference": float(np.concatenate(differences).mean()),
        "low": low,
        "high": high,
        "pairs": len({pair for pairs in held for pair in pairs}),
    }


def pooled_interval(
    differences: Sequence[np.ndarray[Any, Any]], held: Sequence[Sequence[int]], draws: int = 10_000
) -> tuple[float, float]:
    """95 % interval of the mean of `differences` [S][H] over seeds and pairs: both are resampled, pairs whole (a pair
    may be held out under several seeds; `held` [S][H] names it)."""
    names, place = np.unique(np.concatenate([np.asarray(pairs) for pairs in held]), return_inverse=True)
    sums, counts = np.zeros((len(held), len(names))), np.zeros((len(held), len(names)))
    where = np.split(place, np.cumsum([len(pairs) for pairs in held])[:-1])
    for row, (values, columns) in enumerate(zip(differences, where, strict=True)):
        sums[row, columns], counts[row, columns] = values, 1.0
    random = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        seeds = random.multinomial(len(held), np.full(len(held), 1 / len(held)))
        pairs = random.multinomial(len(names), np.full(len(names), 1 / len(names)))
        found.append(float(seeds @ sums @ pairs) / max(float(seeds @ counts @ pairs), 1.0))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _kept(name: str, task: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The result of a contestant, from `--out` where the same task was done before (by the same code: empty it)."""
    told = {"name": name, **task, "model": Path(task["model"]).name}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    path = arguments.out / f"run-{digest}.json"
    if not path.is_file():
        result = run(name, task, arguments.trl_python)
        arguments.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": name, "seed": task["seed"], **result}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def report(folder: Path) -> None:
    """The tables of the page, of whatever was measured."""
    if (folder / "speed.json").is_file():
        _print_speed(json.loads((folder / "speed.json").read_text())["result"])
    if (folder / "accuracy.json").is_file():
        _print_accuracy(json.loads((folder / "accuracy.json").read_text()))


def _print_speed(found: dict[str, Any]) -> None:
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


def _print_accuracy(document: dict[str, Any]) -> None:
    told, found = document["arguments"], document["result"]
    seeds = range(told["seed"], told["seed"] + told["seeds"])
    print(f"| | {' | '.join(f'seed {seed}' for seed in seeds)} | together |\n{'|---' * (told['seeds'] + 2)}|")
    for name, by_seed in found["by_seed"].items():
        cells = [f"{share:.1%}" for share in (*by_seed, found["accuracy"][name])]
        print(f"| {name} | {' | '.join(cells)} |")
    interval = f"{100 * found['low']:+.1f} to {100 * found['high']:+.1f}"
    print(f"\nDifference {100 * found['difference']:+.1f} points, 95 % interval {interval}, {found['pairs']} pairs.")


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
    parser.add_argument("--layers", type=int, default=0, help="of the backbone, from the first on; 0: all")
    parser.add_argument("--micro-tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3, help="for the accuracy: this many from --seed on, pooled")
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
