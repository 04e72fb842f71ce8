"""A saved reward model scores as the one in memory, and refuses what it cannot stand for."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from infra.contracts import Message
from infra.models.loading import LoadedModel, load_folder
from reward_model.calibration import Calibration
from reward_model.feature_cache import FeatureCache
from reward_model.features import FeatureRecipe, TrainingStopped, answer_features, cached_features, encode
from reward_model.files import DamagedRewardModel, Manifest, write_folder
from reward_model.scoring import BackboneMismatch, FeaturesMismatch, RewardModel

RECIPE = FeatureRecipe((0, 2), 32, 16, 4)
ASKED = [(Message("user", "How can I sleep?"),), (Message("user", "What is the capital?"),)]
ANSWERS = ["Keep your room dark.", "The capital of Norway is Oslo."]


@pytest.fixture
def saved(tiny_loaded: LoadedModel, tmp_path: Path) -> Path:
    """Two heads on 192 features, an ensemble of two."""
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "mean": torch.randn(192, generator=draw),
        "spread": torch.rand(192, generator=draw) + 0.5,
        "weights": torch.randn(2, 3, 192, generator=draw),
        "intercepts": torch.randn(2, 3, generator=draw),
    }
    manifest = Manifest(
        name="reward",
        version=1,
        objectives=("love", "utility"),
        base_model_hash=tiny_loaded.base_model_hash,
        tokenizer_hash=tiny_loaded.tokenizer_hash,
        template_hash=tiny_loaded.template_hash,
        layers=RECIPE.layers,
        max_prompt_tokens=RECIPE.max_prompt_tokens,
        max_answer_tokens=RECIPE.max_answer_tokens,
        opening_tokens=RECIPE.opening_tokens,
        calibration={"love": (2.0, -1.0)},
    )
    write_folder(tmp_path / "model", manifest, tensors)
    return tmp_path / "model"


def test_scores_by_hand(saved: Path, tiny_loaded: LoadedModel) -> None:
    model = RewardModel.load(saved)
    scores = model.score(tiny_loaded, ASKED, ANSWERS, 2)
    assert scores.objectives == model.objectives == ("love", "utility")
    pooled = answer_features(tiny_loaded, RECIPE, ASKED, ANSWERS, 1)
    x = ((pooled - model.standardizer.mean) / (model.standardizer.spread * 192**0.5)).double().numpy()
    logits = np.einsum("bd,ked->bke", x, model.weights.double().numpy()) + model.intercepts.double().numpy()
    love = 1 / (1 + np.exp(-(2.0 * logits[:, 0] - 1.0)))
    assert scores.values[:, 0] == pytest.approx(love[:, 0], abs=1e-4)
    assert scores.uncertainty[:, 0] == pytest.approx(love[:, 1:].std(1), abs=1e-4)
    assert scores.values[:, 1] == pytest.approx(logits[:, 1, 0], abs=1e-4)
    assert scores.uncertainty[:, 1] == pytest.approx(logits[:, 1, 1:].std(1), abs=1e-4)


def test_the_contrast_of_a_head_is_its_calibrations(saved: Path) -> None:
    """A pair (slope, offset), as older manifests hold, has none; a utility is no probability."""
    model = RewardModel.load(saved)
    assert (model.contrast("love"), model.contrast("utility")) == (1.0, 1.0)
    calibration = {"love": Calibration(slope=2.0, offset=-1.0, contrast=1.25)}
    told = replace(model, manifest=msgspec.structs.replace(model.manifest, calibration=calibration))
    assert told.contrast("love") == 1.25


def test_hidden_states_that_are_there_already_score_the_same(saved: Path, tiny_loaded: LoadedModel) -> None:
    model = RewardModel.load(saved)
    pooled = answer_features(tiny_loaded, RECIPE, ASKED, ANSWERS, 2)
    assert np.array_equal(model.score_hidden(pooled).values, model.score(tiny_loaded, ASKED, ANSWERS, 2).values)


def test_features_of_another_width_are_refused(saved: Path) -> None:
    with pytest.raises(FeaturesMismatch, match="128 columns, this reward model reads 192"):
        RewardModel.load(saved).score_hidden(torch.zeros(2, 128))


def test_what_was_scored_is_kept_by_content(saved: Path, tiny_loaded: LoadedModel) -> None:
    model = RewardModel.load(saved)
    first = model.score(tiny_loaded, ASKED, ANSWERS, 2)
    turned = model.score(tiny_loaded, ASKED[::-1], ANSWERS[::-1], 2)
    assert (model.cache.hits, model.cache.misses) == (2, 2)
    assert np.array_equal(turned.values, first.values[::-1])
    swapped = model.score(tiny_loaded, ASKED, ANSWERS[::-1], 2)  # other pairs of prompt and answer
    assert model.cache.misses == 4
    assert not np.array_equal(swapped.values, turned.values)


def test_no_answers_no_scores(saved: Path, tiny_loaded: LoadedModel) -> None:
    assert RewardModel.load(saved).score(tiny_loaded, [], [], 4).values.shape == (0, 2)


def test_another_backbone_is_refused(saved: Path, other_tiny_model_dir: Path) -> None:
    other = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    with pytest.raises(BackboneMismatch, match="train a reward model on the new base"):
        RewardModel.load(saved).score(other, ASKED, ANSWERS, 2)


def test_a_changed_file_is_refused(saved: Path) -> None:
    heads = saved / "heads.safetensors"
    content = bytearray(heads.read_bytes())
    content[-1] ^= 1
    heads.write_bytes(content)
    with pytest.raises(DamagedRewardModel, match="is not what"):
        RewardModel.load(saved)


def test_a_missing_or_mangled_folder_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DamagedRewardModel, match="train again"):
        RewardModel.load(tmp_path / "nowhere")
    document = json.loads((saved / "reward_model.json").read_text())
    document["format"] = 99
    (saved / "reward_model.json").write_text(json.dumps(document))
    with pytest.raises(DamagedRewardModel, match="format 99"):
        RewardModel.load(saved)


def test_a_leftover_of_a_killed_training_is_replaced(saved: Path) -> None:
    model = RewardModel.load(saved)
    tensors = {"mean": torch.zeros(192), "spread": torch.ones(192)}
    (saved / "junk").write_text("x")
    hashes = write_folder(saved, model.manifest, {**tensors, "weights": model.weights, "intercepts": model.intercepts})
    assert sorted(hashes) == ["heads.safetensors", "reward_model.json"]
    assert RewardModel.load(saved).standardizer.mean.abs().sum() == 0


def test_long_prompts_keep_their_end_and_long_answers_their_start(tiny_loaded: LoadedModel) -> None:
    long = [Message("user", "word " * 100 + "END")]
    ids, start = encode(tiny_loaded, RECIPE, long, "first " + "more " * 100)
    assert (len(ids), start) == (48, 32)
    assert "END" in tiny_loaded.tokenizer.decode(ids[:start])
    assert tiny_loaded.tokenizer.decode(ids[start:]).startswith("first")


def test_control_tokens_in_an_answer_are_text(tiny_loaded: LoadedModel) -> None:
    ids, start = encode(tiny_loaded, RECIPE, ASKED[0], "<|im_end|>")
    assert not set(ids[start:]) & set(tiny_loaded.end_ids)


def test_the_cache_spares_what_it_knows(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / RECIPE.cache_name(tiny_loaded), 10**8)
    told: list[str] = []

    def features(keys: list[str]) -> torch.Tensor:
        return cached_features(
            tiny_loaded, RECIPE, ASKED, ANSWERS, keys, cache=cache, batch_size=2, progress=lambda _f, t: told.append(t)
        )

    first = features(["a", "b"])
    assert torch.equal(features(["b", "a"]), first.flip(0))  # by key: the texts were not looked at again
    assert torch.allclose(first, answer_features(tiny_loaded, RECIPE, ASKED, ANSWERS, 1), atol=1e-5)
    assert told == ["features of 2 answers (0 known)", "features ready", "features ready"]


def test_a_stop_is_obeyed(tiny_loaded: LoadedModel) -> None:
    with pytest.raises(TrainingStopped):
        cached_features(
            tiny_loaded,
            RECIPE,
            ASKED,
            ANSWERS,
            ["a", "b"],
            cache=None,
            batch_size=2,
            progress=lambda _f, _t: None,
            should_stop=lambda: True,
        )


def test_other_features_have_another_cache(tiny_loaded: LoadedModel) -> None:
    assert RECIPE.cache_name(tiny_loaded) != FeatureRecipe((0, 2), 32, 16, 0).cache_name(tiny_loaded)


def test_the_opening_is_pooled_after_mean_and_last(tiny_loaded: LoadedModel) -> None:
    """With an opening as long as the answer it equals the mean; with one of one token it is the first token's state."""
    whole = answer_features(tiny_loaded, FeatureRecipe((2,), 32, 16, 99), ASKED, ANSWERS, 2).reshape(2, 3, 32)
    plain = answer_features(tiny_loaded, FeatureRecipe((2,), 32, 16, 0), ASKED, ANSWERS, 2).reshape(2, 2, 32)
    first = answer_features(tiny_loaded, FeatureRecipe((2,), 32, 16, 1), ASKED, ANSWERS, 2).reshape(2, 3, 32)
    alone = answer_features(tiny_loaded, FeatureRecipe((2,), 32, 1, 0), ASKED, ANSWERS, 2).reshape(2, 2, 32)
    assert torch.allclose(whole[:, 0], whole[:, 2])
    assert torch.equal(whole[:, :2], plain)
    assert torch.allclose(first[:, 2], alone[:, 0], atol=1e-5)
