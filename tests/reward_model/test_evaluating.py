"""An evaluation agrees with the heads' own numbers, looks where it says it looks, and compares with the champion."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from infra.settings.reward_model import RewardModelSettings
from reward_model.evaluating import evaluate
from reward_model.evaluation import auroc
from reward_model.features import FeatureRecipe
from reward_model.files import Manifest
from reward_model.findings import Examined
from reward_model.predicting import Read, predictions
from reward_model.scoring import RewardModel
from reward_model.training import TrainedHeads, train_heads
from tests.reward_model.builders import simulated

SETTINGS = RewardModelSettings(
    min_labels=50, min_pairs=50, l2_grid=(0.01,), folds=3, bootstrap=100, ensemble=2, thresholds=(10.0,)
)


def model_of(heads: TrainedHeads) -> RewardModel:
    manifest = Manifest(
        name="reward",
        version=1,
        objectives=heads.objectives,
        base_model_hash="b",
        tokenizer_hash="t",
        template_hash="c",
        layers=(1,),
        max_prompt_tokens=8,
        max_answer_tokens=8,
        calibration=dict(heads.calibration),
        flip_rate=heads.flip_rate,
    )
    tensors = heads.tensors
    return RewardModel(manifest, heads.subspace.standardizer, tensors["weights"], tensors["intercepts"])


@pytest.fixture(scope="module")
def world() -> tuple[Read, RewardModel, TrainedHeads]:
    torch.set_num_threads(1)
    data, features, _ = simulated(300, flips=0.1, seed=6)
    half = [replace(row, adapter="loop@1" if i % 2 else "base") for i, row in enumerate(data.answers)]
    data = replace(data, answers=tuple(half))
    heads = train_heads(data, features, SETTINGS)
    loaded = cast("Any", SimpleNamespace(base_model_hash="b"))
    return Read(data, loaded, FeatureRecipe((1,), 8, 8), features, 8), model_of(heads), heads


@pytest.fixture(scope="module")
def examined(world: tuple[Read, RewardModel, TrainedHeads]) -> Examined:
    read, model, _ = world
    return evaluate(read, model, model, "loop@1", SETTINGS)


def test_it_agrees_with_the_heads_own_numbers(
    world: tuple[Read, RewardModel, TrainedHeads], examined: Examined
) -> None:
    heads = world[2].report["heads"]
    found = examined.document["heads"]
    assert found["love"]["auroc"] == pytest.approx(heads["love"]["auroc"])
    assert found["utility"]["accuracy"]["estimate"] == pytest.approx(heads["utility"]["accuracy"]["estimate"])
    assert examined.document["calibration"]["love"]["skill"] == pytest.approx(heads["love"]["brier_skill"], abs=0.01)


def test_calibration_is_clustered_by_question_too(
    world: tuple[Read, RewardModel, TrainedHeads], examined: Examined
) -> None:
    data = world[0].data
    held = data.split.held_out & ~np.isnan(data.targets[:, 0])
    found = examined.document["calibration"]["love"]
    assert found["questions"] == len(np.unique(data.split.groups[held])) > 10
    assert found["labels"] == held.sum()
    assert found["error_by_person"] >= 0.0


def test_the_current_policys_answers_are_looked_at_alone(
    world: tuple[Read, RewardModel, TrainedHeads], examined: Examined
) -> None:
    read, model, _ = world
    served = np.array([row.adapter == "loop@1" for row in read.data.answers]) & read.data.split.held_out
    rows = np.flatnonzero(served & ~np.isnan(read.data.targets[:, 0]))
    said = predictions(model, read, rows).values["love"][rows]
    found = examined.document["current_policy"]
    assert found["adapter"] == "loop@1"
    assert found["heads"]["love"]["judgments"] == len(rows)
    assert found["heads"]["love"]["auroc"] == pytest.approx(
        auroc(read.data.targets[rows, 0], said, read.data.weights[rows, 0])
    )


def test_slices_cover_the_holdout_once_a_column(
    world: tuple[Read, RewardModel, TrainedHeads], examined: Examined
) -> None:
    held = int(world[0].data.split.held_out.sum())
    for column in ("policy", "source", "length", "age", "person"):
        counted = sum(one.interval.count for one in examined.slices["love"] if one.column == column and one.interval)
        assert counted == held, column


def test_choosing_more_wins_more_and_a_model_agrees_with_itself(examined: Examined) -> None:
    assert examined.best_of_n is not None
    first, second = examined.best_of_n.points
    assert second.mean > first.mean
    change = examined.document["disagreement"]
    assert change["rank_correlation"]["estimate"] == pytest.approx(1.0)
    assert change["flips"]["estimate"] == 0.0


def test_pictures_are_written(examined: Examined, tmp_path: Path) -> None:
    examined.draw(tmp_path, "reward@1")
    drawn = {path.name for path in tmp_path.iterdir()}
    assert {"reliability-love.png", "slices-love.png", "slices-utility.png", "best-of-n.png", "drift.png"} <= drawn
    assert "disagreement.png" in drawn
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_pairs_alone_are_enough(world: tuple[Read, RewardModel, TrainedHeads]) -> None:
    read = world[0]
    empty = np.zeros((len(read.data.answers), 0))
    data = replace(read.data, objectives=(), targets=empty, weights=empty)
    heads = train_heads(data, read.features, SETTINGS)
    found = evaluate(replace(read, data=data), model_of(heads), None, "base", SETTINGS)
    assert list(found.document["heads"]) == ["utility"]
    assert found.best_of_n is None
    assert found.document["disagreement"] is None
