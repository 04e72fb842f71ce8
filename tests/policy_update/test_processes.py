"""Two processes train what one trains: prompts shared out, statistics of the whole batch, gradients summed."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from policy_update.processes import Processes, padded_together
from tests.fixtures.helpers import free_port
from tests.policy_update.test_kill_drill import finished, lines, task
from tests.policy_update.training_child import run_as

ROOT = Path(__file__).parents[2]


def numbers(path: Path) -> list[list[float]]:
    """(loss, gradient norm, KL) by step."""
    return [[float(value) for value in line.split()[1:]] for line in lines(path)]


def same_training(one: Path, two: Path) -> None:
    assert len(numbers(one)) == len(numbers(two)) == 3
    for alone, shared in zip(numbers(one), numbers(two), strict=True):
        assert shared == pytest.approx(alone, rel=1e-5, abs=1e-5)
    first, second = (load_file(path.parent / "adapter.safetensors") for path in (one, two))
    for name, weight in first.items():
        assert torch.allclose(weight, second[name], atol=1e-4), name


@pytest.mark.timeout(180)
@pytest.mark.parametrize("recipe", ["gdpo", pytest.param("grpo", marks=pytest.mark.full)])
def test_two_processes_give_the_loss_of_one(tmp_path: Path, tiny_model_dir: Path, recipe: str) -> None:
    """gdpo divides by the spread of the whole batch, which no process has alone; three prompts cannot be halved."""
    changes = {"steps": 3, "recipe": recipe, "lora_alpha": 8}
    one, two = (task(tmp_path / name, tiny_model_dir, pause=0.0, **changes) for name in ("one", "two"))
    finished(one)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.policy_update.training_child"])
    port = free_port()
    children = [context.Process(target=run_as, args=(str(two), rank, 2, port), daemon=True) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0], (two.parent / "log").read_text()
    same_training(one, two)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_under_accelerate_launch(tmp_path: Path, tiny_model_dir: Path) -> None:
    one, two = (task(tmp_path / name, tiny_model_dir, steps=3, lora_alpha=8) for name in ("one", "two"))
    finished(one)
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2"]
    launch += [
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--num_cpu_threads_per_process",
        "1",
    ]
    launch += ["--main_process_port", str(free_port()), "-m", "tests.policy_update.training_child", str(two)]
    done = subprocess.run(launch, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same_training(one, two)


def test_prompts_are_shared_out_whole() -> None:
    for count in (1, 2, 3, 7):
        shares = [Processes(rank, 3).share(count) for rank in range(3)]
        assert [i for share in shares for i in share] == list(range(count))


def test_alone_everything_is_handed_back() -> None:
    alone = Processes.join()
    assert alone.leads
    assert alone.gather({"a": 1}) == [{"a": 1}]
    assert alone.tell("x") == "x"
    values = [torch.ones(2)]
    alone.add_up(values)
    assert values[0].tolist() == [1, 1]


def test_padding_together_by_hand() -> None:
    together = padded_together([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0, 5.0]])])
    assert together.tolist() == [[1, 2, 0], [3, 4, 5]]
