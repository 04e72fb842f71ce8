"""The real command under `accelerate launch`: two processes train one adapter, one of them writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sqlalchemy import select

from infra.contracts import SystemClock
from infra.db.tables import adapters, job_runs
from infra.runtime import JobContext, open_context
from infra.settings import load_settings
from infra.settings.describing import toml_value
from policy_update.following import run_together
from reward_model.jobs import run_reward_model
from tests.fixtures.helpers import free_port
from tests.reward_model.test_service import fill

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]


def prepared(folder: Path, model: Path) -> Path:
    """A data folder with feedback and a reward model, ready for a policy update; its configuration."""
    folder.mkdir()
    document = {
        "data_dir": str(folder / "data"),
        "model": {"base": str(model), "dtype": "float32", "threads": 1, "device": "cpu"},
        "reward_model": {
            "min_labels": 40,
            "min_pairs": 20,
            "min_positive": 5,
            "min_new_labels": 10,
            "folds": 2,
            "bootstrap": 100,
            "l2_grid": [0.1],
            "ensemble": 2,
            "champion_rule": "newest",
            "cross_fit_min_labels": 40,
        },
        "policy_update": {
            "steps": 2,
            "prompts_per_step": 3,
            "group_size": 3,
            "max_new_tokens": 8,
            "min_prompts": 8,
            "max_prompts": 32,
            "lora_rank": 2,
            "gate": {"prompts": 4, "answers_per_prompt": 2, "kl_to_champion": 1e-12},
        },
    }
    config = folder / "plaudit.toml"
    config.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()))
    context = open_context(load_settings(config), SystemClock())
    fill(context, 120)
    run_reward_model(JobContext(context))
    context.close()
    return config


def trained(config: Path, *launcher: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Run `plaudit policy-update train`: weights of loop@1, and the status of every run of the job."""
    command = [sys.executable, *launcher, "-m", "plaudit", "--config", str(config), "policy-update", "train"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAUDIT_")}
    environment = clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    context = open_context(load_settings(config), SystemClock())
    with context.database.reading() as connection:
        rows = connection.execute(select(adapters)).mappings().all()
        query = select(job_runs.c.status).where(job_runs.c.job == "policy-update")
        runs = list(connection.execute(query).scalars())
    context.close()
    assert [f"{row['name']}@{row['version']}" for row in rows] == ["loop@1"]
    return load_file(Path(rows[0]["path"]) / "adapter_model.safetensors"), runs


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_command_under_accelerate_launch(tmp_path: Path, tiny_model_dir: Path) -> None:
    alone, runs = trained(prepared(tmp_path / "one", tiny_model_dir))
    assert runs == ["done"]
    port = ["--main_process_port", str(free_port())]
    together, runs = trained(prepared(tmp_path / "two", tiny_model_dir), *LAUNCH, *port)
    assert runs == ["done"], "the other process wrote no run of its own"
    for name, weight in alone.items():
        assert torch.allclose(weight, together[name], atol=1e-4), name


def test_alone_the_job_is_simply_run() -> None:
    from infra.settings import Settings

    assert run_together(Settings(), lambda: 75) == 75
