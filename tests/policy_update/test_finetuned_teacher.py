"""A fine-tuned reward model through a whole cycle: it teaches, gates, and says the same at a second look."""

from pathlib import Path

import pytest
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables import adapters
from infra.runtime import JobContext, open_context
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_update import PolicyUpdateSettings
from infra.settings.reward_model import FinetuningSettings
from policy_update.gating.service import gate_again
from policy_update.jobs import run_policy_update
from reward_model.jobs import run_reward_model
from tests.policy_update.conftest import settings_in
from tests.reward_model.test_service import fill


@pytest.mark.full
def test_a_fine_tuned_reward_model_teaches_and_gates(tmp_path: Path, tiny_model_dir: Path) -> None:
    policy_update = PolicyUpdateSettings(
        steps=1, prompts_per_step=2, group_size=2, micro_batch_prompts=2, max_new_tokens=8, min_prompts=8,
        max_prompts=32, lora_rank=2, gate=GateSettings(prompts=4, answers_per_prompt=2, kl_to_champion=1e-12),
    )  # fmt: skip
    settings = settings_in(tmp_path, tiny_model_dir, policy_update)
    changes = {
        "backbone_mode": "finetuned",
        "min_labels": 20,
        "hold_out_fraction": 0.4,
        "finetuning": FinetuningSettings(rank=4, learning_rate=2e-3, batch=4, epochs=1.0, ensemble=1),
    }
    reward_model = settings.reward_model.model_copy(update=changes)
    tuned = open_context(settings.model_copy(update={"reward_model": reward_model}), ManualClock())
    fill(tuned, 160)
    assert "frozen features beside it" in run_reward_model(JobContext(tuned)).detail
    assert run_policy_update(JobContext(tuned)).detail.startswith("loop@1 refused")
    with tuned.database.reading() as connection:
        row = connection.execute(select(adapters)).mappings().one()
    assert row["gate"]["cross_fitted"] is False, "there are no halves"
    assert {"love", "utility"} <= set(row["gate"]["levels"])
    first = {check["name"]: check["value"] for check in row["gate"]["checks"]}
    again = {check["name"]: check["value"] for check in gate_again(tuned, "loop@1").document["checks"]}
    assert again == pytest.approx(first, abs=1e-4, nan_ok=True), "the second look sees what the first saw"
    tuned.close()
