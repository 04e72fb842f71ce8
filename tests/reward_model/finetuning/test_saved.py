"""A fine-tuned reward model: saved, loaded, scoring as in memory; damaged, refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.contracts import Message
from infra.models.loading import LoadedModel, load_folder
from reward_model.calibration import Calibration
from reward_model.features import FeatureRecipe
from reward_model.files import DamagedRewardModel
from reward_model.finetuning.examples import encode_closed, preferences
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import train_lora_reward_model
from reward_model.scoring import BackboneMismatch, FeaturesMismatch, NoHalves, RewardModel, open_reward_model
from tests.reward_model.finetuning.conftest import make_examples
from tests.reward_model.finetuning.test_training import OPTIONS

RECIPE = FeatureRecipe((), 48, 24)
QUESTION, OTHER = (Message("user", "How can I sleep?"),), (Message("user", "What is the capital?"),)
ASKED = [QUESTION, OTHER, QUESTION, QUESTION]
ANSWERS = ["Keep your room dark.", "Oslo.", "Put your phone away.", "Keep your room dark."]


@pytest.fixture
def model(tiny_loaded: LoadedModel) -> FinetunedRewardModel:
    return FinetunedRewardModel.of(train_lora_reward_model(tiny_loaded, make_examples(), OPTIONS), RECIPE)


def test_scores_by_hand(model: FinetunedRewardModel, tiny_loaded: LoadedModel) -> None:
    """Each answer alone, through the unfused peft model and numpy."""
    calibrated = model.calibrated({"love": Calibration(slope=2.0, offset=-1.0, contrast=1.2)}, utility_offset=0.5)
    assert (calibrated.contrast("love"), calibrated.contrast("utility"), model.contrast("love")) == (1.2, 1.0, 1.0)
    scores = calibrated.score(tiny_loaded, ASKED, ANSWERS)
    assert scores.objectives == ("love", "utility")
    weight, bias = model.scorer.heads.weight.detach().numpy(), model.scorer.heads.bias.detach().numpy()
    for row, (messages, answer) in enumerate(zip(ASKED, ANSWERS, strict=True)):
        ids, start = encode_closed(tiny_loaded, RECIPE, messages, answer)
        assert ids[-1] == tiny_loaded.end_ids[0]
        assert start < len(ids) - 1
        for module in model.scorer.peft.modules():
            vars(module).pop("forward", None)  # peft's own from here on
        with torch.no_grad():
            state = model.scorer.peft.get_base_model().model(torch.tensor([ids])).last_hidden_state[0, -1].numpy()
        logits = weight @ state + bias
        love = 1 / (1 + np.exp(-(2.0 * logits[0] - 1.0)))
        assert scores.values[row] == pytest.approx([love[0], logits[1, 0] - 0.5], abs=1e-4)
        assert scores.uncertainty[row] == pytest.approx([love[1:].std(), logits[1, 1:].std()], abs=1e-4)


def test_what_was_scored_is_not_computed_again(
    model: FinetunedRewardModel, tiny_loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model.score(tiny_loaded, ASKED, ANSWERS)
    assert (model.cache.hits, model.cache.misses) == (1, 3)
    assert np.array_equal(first.values[0], first.values[3])
    monkeypatch.setattr(FinetunedRewardModel, "logits", None)
    assert np.array_equal(model.score(tiny_loaded, ASKED[::-1], ANSWERS[::-1]).values, first.values[::-1])


def test_a_loaded_model_scores_as_the_saved_one(
    model: FinetunedRewardModel, tiny_loaded: LoadedModel, tiny_model_dir: Path, tmp_path: Path
) -> None:
    calibrated = model.calibrated({"love": Calibration(slope=2.0)}, 0.25)
    hashes = calibrated.save(tmp_path / "model")
    assert set(hashes) >= {"finetuned_reward_model.json", "heads.safetensors", "adapter/adapter_model.safetensors"}
    fresh = load_folder(tiny_model_dir, device="cpu", dtype="float32")
    loaded = FinetunedRewardModel.load(tmp_path / "model", fresh)
    expected, found = calibrated.score(tiny_loaded, ASKED, ANSWERS), loaded.score(fresh, ASKED, ANSWERS)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.uncertainty, expected.uncertainty)
    assert model.save(tmp_path / "model") != hashes  # replaced
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_halves_are_saved_with_it_and_guarded_by_its_hashes(
    model: FinetunedRewardModel, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    other = FinetunedRewardModel.of(
        train_lora_reward_model(tiny_loaded, make_examples(), dataclasses.replace(OPTIONS, seed=5)), RECIPE
    )
    whole = dataclasses.replace(model, halves=(other, model.calibrated({"love": Calibration(slope=3.0)})))
    hashes = whole.save(tmp_path / "model")
    assert {"half0/adapter/adapter_model.safetensors", "half1/finetuned_reward_model.json"} <= set(hashes)
    loaded = FinetunedRewardModel.load(tmp_path / "model", tiny_loaded)
    assert loaded.has_halves
    for half in (0, 1):
        expected = whole.half(half).score(tiny_loaded, ASKED, ANSWERS).values
        assert np.array_equal(loaded.half(half).score(tiny_loaded, ASKED, ANSWERS).values, expected)
    assert not np.array_equal(expected, loaded.score(tiny_loaded, ASKED, ANSWERS).values)
    (tmp_path / "model" / "half1" / "heads.safetensors").write_bytes(b"")
    with pytest.raises(DamagedRewardModel, match="half1/heads"):
        FinetunedRewardModel.load(tmp_path / "model", tiny_loaded)


def test_whoever_wants_hidden_states_is_told(
    model: FinetunedRewardModel, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    with pytest.raises(FeaturesMismatch, match="open_reward_model"):
        RewardModel.load(tmp_path / "model")
    opened = open_reward_model(tmp_path / "model", tiny_loaded)
    assert not opened.has_halves
    assert not opened.recipe.reads_base
    with pytest.raises(NoHalves, match="too few labels for two"):
        opened.half(0)
    with pytest.raises(FeaturesMismatch, match="hidden states of its own"):
        opened.score_hidden(torch.zeros(1, 64))


def test_another_backbone_is_refused(model: FinetunedRewardModel, other_tiny_model_dir: Path, tmp_path: Path) -> None:
    other = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    model.save(tmp_path / "model")
    with pytest.raises(BackboneMismatch, match="train a reward model on the new base"):
        FinetunedRewardModel.load(tmp_path / "model", other)
    with pytest.raises(BackboneMismatch):
        model.score(other, ASKED, ANSWERS)


def test_a_damaged_folder_is_refused(model: FinetunedRewardModel, tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    heads = tmp_path / "model" / "heads.safetensors"
    content = heads.read_bytes()
    heads.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedRewardModel, match=r"heads\.safetensors"):
        FinetunedRewardModel.load(tmp_path / "model", tiny_loaded)
    heads.write_bytes(content)
    document = json.loads((tmp_path / "model" / "finetuned_reward_model.json").read_text())
    (tmp_path / "model" / "finetuned_reward_model.json").write_text(json.dumps({**document, "format": 9}))
    with pytest.raises(DamagedRewardModel, match="format 9"):
        FinetunedRewardModel.load(tmp_path / "model", tiny_loaded)
    with pytest.raises(DamagedRewardModel, match="train again"):
        FinetunedRewardModel.load(tmp_path / "nowhere", tiny_loaded)


def test_text_preferences_are_learned_in_bf16(tiny_model_dir: Path) -> None:
    """The master weights take steps that bf16 alone would round away."""
    loaded = load_folder(tiny_model_dir, device="cpu", dtype="bfloat16")
    good, bad = [f"Keep your room dark {i}." for i in range(8)], [f"Oslo is {i}" for i in range(8)]
    examples = preferences(loaded, RECIPE, [QUESTION] * 8, good, bad)
    options = dataclasses.replace(OPTIONS, steps=12, batch=8, learning_rate=5e-3, ensemble=1)
    trained = train_lora_reward_model(loaded, examples, options)
    assert trained.columns == ("utility",)
    assert trained.losses[-1] < 0.7 * trained.losses[0]
    model = FinetunedRewardModel.of(trained, RECIPE)
    values = model.score(loaded, [QUESTION] * 2, [good[0], bad[0]]).values[:, 0]
    assert values[0] > values[1]
