"""A policy update side by side with TRL's GRPOTrainer: seconds a step by phase, peak memory, share of the limit.

    make bench-policy-update TRL_PYTHON=/tmp/trl/bin/python
    python -m tests.benchmarks.bench_policy_update --trl-python PYTHON [--rounds 1] [--steps 7] [--page]

TRL is no dependency of Plaudit. Make it a place that borrows everything else from `.venv`:

    python -m venv --without-pip /tmp/trl
    echo "$PWD/.venv/lib/python3.11/site-packages" > /tmp/trl/lib/python3.11/site-packages/plaudit.pth
    .venv/bin/python -m pip --python /tmp/trl/bin/python install --no-deps \\
        trl==1.16.0 datasets==5.2.0 multiprocess dill xxhash

Both sides get the same model folder, prompts, LoRA, sampling, precision and number of tokens, the same number of
threads, and a process of their own; contestants take turns. On a GPU the same command measures one, and TRL with vLLM
where TRL's Python has it. `--page` writes docs/benchmarks/policy-update.md and .json.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.fetch import fetch_base
from infra.models.loading import load_folder
from infra.settings import load_settings
from tests.benchmarks import policy_update_trl
from tests.benchmarks.policy_update_page import page, ratios, table

OWN = "Plaudit"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "policy-update.md"
WISHES = (
    "fall asleep faster",
    "learn to cook rice",
    "write a short letter",
    "save water at home",
    "train for a long run",
    "grow tomatoes on a balcony",
    "repair a flat tyre",
)
PEOPLE = (
    "a student",
    "a new parent",
    "someone who works at night",
    "a person with little money",
    "a beginner",
    "my grandmother",
    "a small team",
    "a child of ten",
)


def contestants(trl_python: str) -> dict[str, dict[str, Any]]:
    """What differs between them, by name."""
    found = {
        OWN: {},
        "TRL, its defaults": {"checkpointing": True, "vllm": False},
        "TRL, no checkpointing": {"checkpointing": False, "vllm": False},
    }
    if torch.cuda.is_available() and _has(trl_python, "vllm"):
        found["TRL with vLLM"] = {"checkpointing": False, "vllm": True}
    return found


def _has(python: str, module: str) -> bool:
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", look], check=False).returncode == 0


def make_task(arguments: argparse.Namespace) -> dict[str, Any]:
    """What both sides are told."""
    folder = fetch_base(load_settings())
    pairs = itertools.islice(itertools.cycle(itertools.product(WISHES, PEOPLE)), arguments.steps * arguments.prompts)
    texts = [f"How can {who} {wish}? Give two pieces of advice." for wish, who in pairs]
    loaded = load_folder(folder, device="cpu")
    lengths = [len(render_chat(loaded, [Message("user", text)])) for text in texts]
    return {
        "model": str(folder),
        "texts": texts,
        "prompt_tokens": round(sum(lengths) / len(lengths) * arguments.prompts),
        "steps": arguments.steps,
        "prompts": arguments.prompts,
        "group": arguments.group,
        "new_tokens": arguments.new_tokens,
        "micro_batch": arguments.micro_batch,
        "temperature": 1.0,
        "beta": 0.02,
        "learning_rate": 1e-4,
        "rank": 16,
        "alpha": 32,
        "threads": arguments.threads,
        "seed": 0,
        "recipe": "grpo",
        "own": {},
    }


def run(command: list[str], task: dict[str, Any]) -> dict[str, Any]:
    """One process: `command` TASK RESULT."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "task.json", Path(folder) / "result.json"
        given.write_text(json.dumps(task))
        environment = os.environ | {"OMP_NUM_THREADS": str(task["threads"]), "HF_HUB_OFFLINE": "1"}
        subprocess.run([*command, str(given), str(found)], check=True, env=environment, stdout=subprocess.DEVNULL)
        result: dict[str, Any] = json.loads(found.read_text())
        return result


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everybody's figures, and what the machine can do, measured between them."""
    task, load = make_task(arguments), os.getloadavg()[0]
    others = contestants(arguments.trl_python)
    document: dict[str, Any] = {"task": {k: v for k, v in task.items() if k not in ("texts", "model")}}
    document |= {"machine": _machine(arguments.trl_python, load), "contestants": {name: [] for name in others}}
    document["peaks"] = []
    module = [sys.executable, "-m"]
    for _ in range(arguments.rounds):
        for name, more in others.items():
            document["peaks"].append(run([*module, "tests.benchmarks.policy_update_peak"], task))
            own = [*module, "tests.benchmarks.policy_update_own"]
            command = own if name == OWN else [arguments.trl_python, policy_update_trl.__file__]
            result = run(command, task | more)
            wanted = task["prompts"] * task["group"] * task["new_tokens"]
            if any(step["tokens"] != wanted for step in result["steps"]):
                raise SystemExit(f"{name} did not generate {wanted} tokens in every step: the comparison is void")
            document["contestants"][name].append(result)
    document["peaks"].append(run([*module, "tests.benchmarks.policy_update_peak"], task))
    return document


def _machine(trl_python: str, load: float) -> dict[str, Any]:
    ask = "import importlib.metadata as m; print(m.version('trl'))"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)),
        "arch": platform.machine().replace("_", "-"),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "trl": subprocess.run([trl_python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "load": load,
        "shared": load > 1.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=7, help="two of them warm up")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=16, help="TRL's rows in one backward pass")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("plaudit-data/bench-policy-update.json"))
    parser.add_argument("--page", action="store_true", help=f"write {PAGE.name} and its .json")
    arguments = parser.parse_args()
    document = measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1))
    print(f"{table(document)}\n\n{ratios(document, OWN)}")
    if arguments.page:
        PAGE.write_text(page(document, OWN))
        PAGE.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
