"""One update from a champion reward model to a verdict, on a tiny backbone: who teaches, who examines, what is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables import adapters, offline_online_points
from infra.runtime import Context, JobContext, open_context
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_update import PolicyUpdateSettings
from infra.settings.reward_model import RewardModelSettings
from policy_update.jobs import run_policy_update
from reward_model.jobs import run_reward_model
from tests.reward_model.test_service import fill


@pytest.fixture
def context(settings: Settings, clock: ManualClock, tiny_model_dir: Path) -> Iterator[Context]:
    torch.set_num_threads(1)
    reward_model = RewardModelSettings(
        min_labels=40, min_pairs=20, min_positive=5, min_new_labels=10, folds=3, bootstrap=100, l2_grid=(0.01,),
        ensemble=2, thresholds=(10.0,), champion_rule="newest", cross_fit_min_labels=40,
    )  # fmt: skip
    policy_update = PolicyUpdateSettings(
        steps=1, prompts_per_step=2, group_size=2, micro_batch_prompts=2, max_new_tokens=8, min_prompts=8,
        max_prompts=32, lora_rank=2, gate=GateSettings(prompts=4, answers_per_prompt=2, kl_to_champion=1e-12),
    )  # fmt: skip
    wanted = {
        "reward_model": reward_model,
        "policy_update": policy_update,
        "model": ModelSettings(base=str(tiny_model_dir), device="cpu", dtype="float32", threads=1),
    }
    opened = open_context(settings.model_copy(update=wanted), clock)
    yield opened
    opened.close()


def test_one_half_teaches_the_other_examines_and_predictions_are_kept(context: Context) -> None:
    assert run_policy_update(JobContext(context)).detail == "no reward model has been trained yet"
    fill(context, 120)
    assert "reward@1" in run_reward_model(JobContext(context)).detail
    outcome = run_policy_update(JobContext(context))
    assert outcome.detail.startswith("loop@1 refused")
    with context.database.reading() as connection:
        row = connection.execute(select(adapters)).mappings().one()
        point = connection.execute(select(offline_online_points)).mappings().one()
    assert row["gate"]["cross_fitted"] is True
    assert (point["candidate"], point["objective"], point["reward_model"]) == ("loop@1", "love", "reward@1")
    assert 0.0 < point["predicted"] < 1.0
    assert 0.0 < point["predicted_control"] < 1.0
    assert row["lineage"]["reward_model"] == "reward@1"
    said = run_policy_update(JobContext(context)).detail
    assert said.startswith("an adapter has already been trained against reward@1; waiting for a better")
