"""A training set becomes a fine-tuned model with a report, and is found again by what it is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from infra.contracts import Message
from infra.models.loading import LoadedModel
from reward_model.data import TrainingSet
from reward_model.features import FeatureRecipe
from reward_model.files import DamagedRewardModel
from reward_model.finetuning.fitting import (
    _utility_gain,
    calibration_rows,
    fit_finetuned,
    for_training,
    options_against_length,
)
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import UTILITY
from reward_model.scoring import open_reward_model
from tests.reward_model.builders import answer, build, label, pair, simulated
from tests.reward_model.finetuning.test_training import OPTIONS

RECIPE = FeatureRecipe((), 32, 16)


def training_set(count: int = 40) -> TrainingSet:
    """Two answers to each prompt; people like the one that thanks, which is also the longer."""
    rows = [
        answer(
            2 * i + j,
            prompt=f"prompt {i}",
            conversation=f"c{i}",
            response_id=f"r{i}",
            choice=j,
            text=f"{'yes, thank you' if j == i % 2 else 'no'} {i}",
        )
        for i in range(count)
        for j in range(2)
    ]
    liked = [row for row in rows if "thank" in row.text]
    labels = [label(row, love=float("thank" in row.text)) for row in rows]
    others = [row for row in rows if "thank" not in row.text]
    return build(
        rows, labels, [pair(i, a, b) for i, (a, b) in enumerate(zip(liked, others, strict=True))], hold_out=0.4
    )


def test_it_is_trained_calibrated_and_judged(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    data = training_set()
    options = dataclasses.replace(OPTIONS, steps=20, batch=8, micro_tokens=512, learning_rate=1e-2)
    model = fit_finetuned(tiny_loaded, data, RECIPE, options, flip_rates={"duel": 0.1})
    heads = model.manifest.report["heads"]
    assert model.objectives == ("love", UTILITY)
    assert heads["love"]["auroc"] > 0.9
    assert heads[UTILITY]["accuracy"]["estimate"] > 0.9
    held = int(data.split.held_out.sum())
    assert heads["love"]["labels_held_out"] == held
    assert heads[UTILITY]["pairs_held_out"] == data.pair_held_out.sum() == held / 2
    assert heads[UTILITY]["length"]["correlation"] > 0.5
    assert model.manifest.card == data.card
    model.save(tmp_path / "model")
    opened = open_reward_model(tmp_path / "model", tiny_loaded)
    assert isinstance(opened, FinetunedRewardModel)
    asked, given = [(Message("user", "prompt 3"),)] * 2, ["yes, thank you 3", "no 3"]
    scores = opened.score(tiny_loaded, asked, given)
    assert scores.values[0, 0] > 0.5 > scores.values[1, 0]
    assert np.array_equal(scores.values, model.score(tiny_loaded, asked, given).values)


def test_calibration_has_answers_of_its_own() -> None:
    """Never held out, never trained on, whole groups; one group at least is left to learn from."""
    data = training_set()
    aside = calibration_rows(data, 0.25, 0)
    assert aside.sum() == 12, "6 of the training side's 24 prompts"
    assert not (aside & ~data.split.training).any()
    assert set(data.split.groups[aside]).isdisjoint(data.split.groups[data.split.training & ~aside])
    left = for_training(data, aside, {"love"})
    assert left.split.training.sum() == 36
    assert not left.pair_training.any(), "no pairs where the utility is not asked for"
    assert for_training(data, aside).pair_training.sum() == 18
    assert calibration_rows(data, 0.89, 1).sum() <= 46


def test_a_utility_is_in_log_odds() -> None:
    """Margins five times too bold, on simulated pairs: the gain brings them back; without pairs it is 1."""
    data, _, truth = simulated(2000, seed=3)
    everything = np.ones(len(data.answers), bool)
    assert _utility_gain(data, 5.0 * truth, everything, 0.0) == pytest.approx(0.2, rel=0.1)
    assert _utility_gain(data, truth, ~everything, 0.0) == 1.0
    flipped, _, truth = simulated(2000, flips=0.2, seed=3)
    assert _utility_gain(flipped, 5.0 * truth, everything, {"duel": 0.2}) == pytest.approx(0.2, rel=0.15)
    assert _utility_gain(flipped, 5.0 * truth, everything, 0.0) < 0.12, "noise not known of looks like small margins"


def test_length_is_taken_off_the_margins() -> None:
    options = options_against_length(training_set(), OPTIONS)
    assert options.length_slope > 1.0
    empty = build([answer(0), answer(1)], [label(answer(0), love=1.0), label(answer(1), love=0.0)])
    assert options_against_length(empty, OPTIONS) == OPTIONS


def test_a_folder_with_neither_kind_is_refused(tmp_path: Path, tiny_loaded: LoadedModel) -> None:
    with pytest.raises(DamagedRewardModel, match="no reward model can be read"):
        open_reward_model(tmp_path, tiny_loaded)
