"""One update from a champion reward model to a verdict, on a tiny backbone: who teaches, who examines, what is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from infra.db.tables import adapters, offline_online_points, serving_state
from infra.runtime import Context, JobContext
from infra.settings.policy_candidates import CandidateSettings
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_rewards import PolicyRewardsSettings, RewardTerm
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.jobs import run_policy_update
from policy_update.objectives import UnknownLimit
from reward_model.offline_online_service import record_predictions
from reward_model.scoring import RewardModel
from reward_model.service import versions_folder
from tests.policy_update.conftest import World


def changed(context: Context, **policy_update: object) -> Context:
    """The same system under other settings of the room."""
    wanted = context.settings.policy_update.model_copy(update=policy_update)
    return replace(context, settings=context.settings.model_copy(update={"policy_update": wanted}))


@pytest.fixture
def context(world: World, tmp_path: Path) -> Context:
    """A system whose reward model is trained, and a gate that nothing passes."""
    wanted = PolicyUpdateSettings(
        steps=1, prompts_per_step=2, group_size=2, micro_batch_prompts=2, max_new_tokens=8, min_prompts=8,
        max_prompts=32, lora_rank=2, gate=GateSettings(prompts=4, answers_per_prompt=2, kl_to_champion=1e-12),
    )  # fmt: skip
    return world(tmp_path, wanted)


def test_one_half_teaches_the_other_examines_and_predictions_are_kept(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, float]] = []

    def recorded(*places: Any, contrasts: dict[str, float], **named: Any) -> list[str]:
        given.append(contrasts)
        return record_predictions(*places, contrasts=contrasts, **named)

    monkeypatch.setattr("policy_update.candidates.cycle.record_predictions", recorded)
    outcome = run_policy_update(JobContext(context))
    model = RewardModel.load(versions_folder(context.settings) / "1")
    assert given in [[{name: model.half(half).contrast(name) for name in model.objectives}] for half in (0, 1)]
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


def test_a_cycle_of_two_weightings_soups_and_extrapolations(context: Context) -> None:
    terms = {"brief": RewardTerm(kind="length", parameters={"budget": 4})}
    dial = CandidateSettings(weightings={"warm": {"love": 2.0}, "brief": {"brief": 3.0}}, extrapolations=(0.5,))
    wanted = changed(context, candidates=dial, rewards=PolicyRewardsSettings(terms=terms, self_certainty=True))
    said = run_policy_update(JobContext(wanted)).detail
    assert [part.split(" refused")[0] for part in said.split("; loop")] == ["loop@1", "@2", "@3", "@4", "@5"]
    with context.database.reading() as connection:
        rows = connection.execute(select(adapters).order_by(adapters.c.version)).mappings().all()
        points = connection.execute(select(offline_online_points.c.candidate)).scalars().all()
    kinds = [(row["lineage"]["kind"], row["lineage"]["weighting"]) for row in rows]
    assert kinds == [
        ("trained", "warm"), ("trained", "brief"), ("soup", "soup of warm, brief"), ("expo", "warm x 1.5"),
        ("expo", "brief x 1.5"),
    ]  # fmt: skip
    assert rows[2]["lineage"]["parts"] == '{"loop@1": 0.5, "loop@2": 0.5}'
    assert {row["lineage"]["cycle"] for row in rows} == {"1"}
    assert {row["lineage"]["control"] for row in rows} == {"base"}
    assert all(row["lineage"]["trigger"] == "new reward model reward@1" for row in rows)
    assert all(len(row["lineage"]["config_hash"]) == 64 and float(row["lineage"]["data_since"]) > 0 for row in rows)
    assert len({str(row["fingerprint"]["logprobs"]) for row in rows}) == 5, "five different adapters"
    assert {str(row["gate"]["champion_levels"]["love"]) for row in rows} == {
        str(rows[0]["gate"]["champion_levels"]["love"])
    }
    assert rows[1]["gate"]["weights"]["brief"] == 3.0
    assert "brief" not in rows[0]["gate"]["levels"], "a term without weight is not computed"
    assert set(points) == {f"loop@{version}" for version in range(1, 6)}
    assert rows[3]["gate"]["history"] == []
    assert len(rows[0]["gate"]["history"]) == 1


def test_after_enough_updates_training_begins_at_the_base_and_is_held_against_the_champion(context: Context) -> None:
    wanted = changed(context, retrain_from_base_every=1, new_prompts=5)
    run_policy_update(JobContext(context))
    assert run_policy_update(JobContext(wanted)).detail.endswith(
        "waiting for a better reward model or 5 more interactions"
    )
    with context.database.transaction() as connection:
        connection.execute(update(adapters).values(state="champion", created_at=1.0))
        connection.execute(
            serving_state.insert().values(
                project=context.settings.project, champion="loop@1", last_proven="base", decision_id="d", updated_at=1.0
            )
        )
    assert run_policy_update(JobContext(wanted)).detail.startswith("loop@2 refused")
    with context.database.reading() as connection:
        row = connection.execute(select(adapters).where(adapters.c.version == 2)).mappings().one()
    assert (row["parent"], row["lineage"]["start"], row["lineage"]["control"]) == ("base", "base", "loop@1")
    assert row["lineage"]["reset"] == "1 updates on top of one another (retrain_from_base_every = 1)"
    assert row["lineage"]["trigger"].endswith("new interactions")
    checks = {check["name"]: check for check in row["gate"]["checks"]}
    assert checks["kl_to_champion"]["limit"] == checks["kl_to_base"]["limit"], "it need not be near the champion"


def test_a_limit_is_trained_with_and_gated_without(context: Context) -> None:
    """The lexicon's cost moves a multiplier; the gate, which would want a goal not to fall, does not weigh it."""
    said = RewardTerm(kind="lexicon", parameters={"words": ("e", "a"), "cost": True})
    limited = changed(
        context,
        recipe="constrained",
        limits={"claims": 0.0},
        rewards=PolicyRewardsSettings(terms={"claims": said}),
        logged_answers=1,
    )
    assert run_policy_update(JobContext(limited)).detail.startswith("loop@1 refused")
    with context.database.reading() as connection:
        row = connection.execute(select(adapters)).mappings().one()
    assert "claims" not in row["gate"]["weights"]
    assert set(row["gate"]["history"][0]["multipliers"]) == {"claims"}
    assert row["gate"]["history"][0]["rewards"]["claims"] >= 0.0


def test_a_limit_that_nothing_measures_stops_the_cycle(context: Context) -> None:
    with pytest.raises(UnknownLimit, match=r"policy_update.limits names 'nothing'.*there are coherence, love"):
        run_policy_update(JobContext(changed(context, recipe="constrained", limits={"nothing": 0.1})))
