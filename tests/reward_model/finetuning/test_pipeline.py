"""The declared job with a fine-tuned backbone, on a tiny random model: trained, judged, registered, asked, killed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.contracts import ManualClock, Message
from infra.models.loading import load_folder
from infra.runtime import Context, open_context
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.reward_model import FinetuningSettings, RewardModelSettings
from reward_model.asking import compare_versions, evaluate_version
from reward_model.explain import explain
from reward_model.finetuning.checkpoint import CheckpointDamaged
from reward_model.finetuning.pipeline import CHECKPOINT_FILE
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.scoring import open_reward_model
from reward_model.service import train, versions_folder
from tests.reward_model.test_lifecycle import Died, dying_at, rows, run, states
from tests.reward_model.test_service import fill

EXCHANGES = 80
ASKED = [(Message("user", "What should I do on day 999?"),)] * 2
GIVEN = ["great great great 999", "no no no 999"]


def opened(settings: Settings, clock: ManualClock, tiny_model_dir: Path, mode: str = "finetuned") -> Context:
    wanted = RewardModelSettings.model_validate(
        {
            "min_labels": 20, "min_pairs": 10, "min_positive": 5, "min_new_labels": 10, "folds": 3, "bootstrap": 100,
            "l2_grid": (0.01,), "ensemble": 2, "thresholds": (10.0,), "champion_min_people": 4,
            "champion_min_judgments": 10, "backbone_mode": mode, "hold_out_fraction": 0.4, "pictures": False,
            "finetuning": FinetuningSettings(
                rank=4, learning_rate=2e-3, batch=4, epochs=2.0, ensemble=1, checkpoint_steps=5
            ),
        }
    )  # fmt: skip
    model = ModelSettings(base=str(tiny_model_dir), device="cpu", dtype="float32", threads=1)
    return open_context(settings.model_copy(update={"reward_model": wanted, "model": model}), clock)


@pytest.fixture
def context(settings_with_registry: Settings, clock: ManualClock, tiny_model_dir: Path) -> Iterator[Context]:
    made = opened(settings_with_registry, clock, tiny_model_dir)
    torch.set_num_threads(1)
    fill(made, EXCHANGES)
    yield made
    made.close()


def files_of(context: Context, version: int = 1) -> dict[str, str]:
    """SHA-256 of the weights of a version."""
    found: dict[str, str] = rows(context)[version - 1]["file_hashes"]
    return {name: value for name, value in found.items() if name.endswith(".safetensors")}


def test_a_life_with_a_fine_tuned_version(context: Context, clock: ManualClock, tiny_model_dir: Path) -> None:
    fill(context, EXCHANGES, start=EXCHANGES)
    said = run(context)
    (row,) = rows(context)
    report = row["metrics"]
    assert row["state"] == "champion"
    assert said.startswith("reward@1; love: AUROC")
    assert "frozen features beside it, love: AUROC" in said
    utility = report["heads"]["utility"]
    assert utility["accuracy"]["count"] == report["frozen"]["heads"]["utility"]["accuracy"]["count"] > 5
    assert utility["gain_over_frozen"]["estimate"] == pytest.approx(
        utility["accuracy"]["estimate"] - report["frozen"]["heads"]["utility"]["accuracy"]["estimate"]
    )
    assert report["finetuning"]["steps"] == 41, "2 epochs of 96 pairs less 15 % for calibration, 4 a step"
    assert {"adapter/adapter_model.safetensors", "heads.safetensors", "anchors.json"} <= set(row["file_hashes"])
    assert sorted(path.name for path in versions_folder(context.settings).iterdir()) == ["1"]

    loaded = load_folder(Path(context.settings.model.base), device="cpu", dtype="float32")
    model = open_reward_model(row["path"], loaded)
    assert isinstance(model, FinetunedRewardModel)
    scores = model.score(loaded, ASKED, GIVEN)
    assert model.objectives == ("love", "utility")
    assert (scores.values[0] > scores.values[1]).all()

    clock.advance(1.0)
    explained = explain(context, "r7")
    assert explained.ref == "reward@1"
    love = explained.heads[0]
    assert love.logit == pytest.approx(sum(love.parts.values()))
    assert love.logit == pytest.approx(
        float(model.raw([(Message("user", "What should I do on day 7?"),)], ["great great great 7"])[0, 0, 0]), abs=1e-4
    )
    assert explained.neighbours
    assert evaluate_version(context).examined.document["judgments"] > 10

    fill(context, 20, start=2 * EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    assert "reward@2" in run(context)
    second = rows(context)[1]["metrics"]
    assert second["champion"]["against"] == "reward@1"
    assert second["anchors"]["drift"]["utility"]["correlation"] > 0.2
    assert second["evaluation"]["disagreement"]["rank_correlation"]["estimate"] > 0.2
    assert compare_versions(context, "2", "1").decision.judgments > 10


@pytest.mark.full
def test_frozen_and_fine_tuned_versions_follow_each_other(
    settings: Settings, clock: ManualClock, tiny_model_dir: Path
) -> None:
    for place, mode in enumerate(("frozen", "finetuned", "frozen")):
        context = opened(settings, clock, tiny_model_dir, mode)
        fill(context, EXCHANGES, start=EXCHANGES * place, made_at=clock.advance(60.0))
        clock.advance(1.0)
        assert f"reward@{place + 1}" in run(context)
        drift = rows(context)[-1]["metrics"]["anchors"]["drift"]
        assert place == 0 or drift["utility"]["correlation"] > 0.0, "on one scale with the version before"
        assert len(states(context)) == place + 1
        context.close()


@pytest.mark.parametrize(
    "moment", ["step 7,", *(pytest.param(late, marks=pytest.mark.full) for late in ("scoring", "recording"))]
)
def test_a_death_in_the_middle_changes_nothing_and_is_made_good(
    context: Context, clock: ManualClock, moment: str
) -> None:
    with pytest.raises(Died):
        train(context, dying_at(moment))
    assert rows(context) == []
    assert (versions_folder(context.settings) / CHECKPOINT_FILE).exists()
    clock.advance(5.0)
    steps: list[str] = []
    train(context, lambda _share, text: steps.append(text))
    done = [text for text in steps if text.startswith("fine-tuning")]
    assert len(done) == {"step 7,": 16, "scoring": 0, "recording": 0}[moment]
    resumed = files_of(context)
    with context.database.transaction() as connection:
        from infra.db.tables import reward_models

        connection.execute(reward_models.delete())
    run(context)
    assert files_of(context) == resumed


def test_a_damaged_checkpoint_is_said_once_and_set_aside(context: Context) -> None:
    with pytest.raises(Died):
        train(context, dying_at("step 7,"))
    checkpoint = versions_folder(context.settings) / CHECKPOINT_FILE
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 64
    checkpoint.write_bytes(bytes(content))
    with pytest.raises(CheckpointDamaged, match=r"set aside as \.finetuning\.checkpoint\.damaged.*again"):
        train(context, lambda _share, _text: None)
    assert rows(context) == []
    assert "reward@1" in run(context)
    assert sorted(path.name for path in versions_folder(context.settings).iterdir()) == ["1"]


@pytest.mark.full
def test_a_checkpoint_of_another_training_is_no_obstacle(
    context: Context, settings: Settings, clock: ManualClock, tiny_model_dir: Path
) -> None:
    with pytest.raises(Died):
        train(context, dying_at("step 7,"))
    fill(context, 20, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(context.settings.reward_model.resume_within_seconds)
    assert "reward@1" in run(context)
    assert rows(context)[0]["labels_used"] == 2 * (EXCHANGES + 20)


@pytest.mark.full
def test_scores_do_not_depend_on_the_company(context: Context) -> None:
    run(context)
    loaded = load_folder(Path(context.settings.model.base), device="cpu", dtype="float32")
    model = open_reward_model(rows(context)[0]["path"], loaded)
    together = model.score(loaded, ASKED, GIVEN).values
    alone = np.concatenate(
        [open_reward_model(rows(context)[0]["path"], loaded).score(loaded, ASKED[:1], [text]).values for text in GIVEN]
    )
    assert np.allclose(together, alone, atol=1e-5)
