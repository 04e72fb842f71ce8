"""An adapter beside the base, merged, and as it is proven."""

from pathlib import Path

import pytest
import torch

from infra.models.errors import AdapterRefused
from infra.models.fingerprint import distance, measure
from infra.models.lean import forced
from infra.models.lean.voices import Voice
from infra.models.loading import LoadedModel, load_folder
from infra.models.lora import attach_lora, save_adapter
from infra.models.merging import merged_copy
from infra.models.voices import SingleTokens, adapter_voice, base_voice, measure_adapter, measure_voice
from tests.models_fixtures import make_tiny_lora


def base_of(loaded: LoadedModel) -> Voice:
    found = base_voice(loaded)
    assert found is not None
    return found


def test_beside_says_what_merged_says_within_the_noise(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    _, stored = make_tiny_lora(tiny_loaded, tmp_path / "a")
    base = base_of(tiny_loaded)
    voice = adapter_voice(tiny_loaded, base, tmp_path / "a")
    assert voice.lora is not None
    found = measure_voice(tiny_loaded, base, voice)
    merged = measure(tiny_loaded, merged_copy(tiny_loaded, tmp_path / "a"))
    assert distance(found, merged) < 1e-4
    assert distance(found, stored) < 1e-4
    assert distance(found, measure(tiny_loaded)) > 0.1
    assert found.noise < 1e-4
    assert measure_adapter(tiny_loaded, tmp_path / "a").logprobs == found.logprobs
    SingleTokens(tiny_loaded, base).check(voice, found)


def test_in_bf16_training_and_serving_measure_the_same_to_the_last_bit(tiny_model_dir: Path, tmp_path: Path) -> None:
    loaded = load_folder(tiny_model_dir, device="cpu", dtype="bfloat16")
    make_tiny_lora(loaded, tmp_path / "a")
    stored = measure_adapter(loaded, tmp_path / "a")
    again = load_folder(tiny_model_dir, device="cpu", dtype="bfloat16")
    base = base_of(again)
    assert measure_voice(again, base, adapter_voice(again, base, tmp_path / "a")).logprobs == stored.logprobs


def test_an_adapter_that_is_lost_while_drawing_is_refused(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    make_tiny_lora(tiny_loaded, tmp_path / "a")
    base = base_of(tiny_loaded)
    said = measure_voice(tiny_loaded, base, adapter_voice(tiny_loaded, base, tmp_path / "a"))
    with pytest.raises(AdapterRefused, match="token by token"):
        SingleTokens(tiny_loaded, base).check(base, said)


def test_one_that_changes_the_output_layer_is_merged(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    tiny_loaded.model.config.tie_word_embeddings = False
    head = tiny_loaded.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    base = base_of(tiny_loaded)
    model = attach_lora(tiny_loaded, rank=2, targets=["q_proj", "lm_head"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.5)
    save_adapter(model, tiny_loaded, tmp_path / "a")
    model.unload()
    voice = adapter_voice(tiny_loaded, base, tmp_path / "a")
    assert voice.lora is None
    assert voice.head is not base.head
    said = measure(tiny_loaded, merged_copy(tiny_loaded, tmp_path / "a"))
    assert distance(measure_voice(tiny_loaded, base, voice), said) < 1e-4
    assert distance(said, measure(tiny_loaded)) > 0.1
    values = forced.token_by_token(voice, base, [[5, 6]], [[7, 8]])
    assert values[0] == pytest.approx(forced.in_pieces(voice, [[5, 6]], [[7, 8]])[0], abs=1e-4)
