"""Adapters on disk: what fits is loaded alike by peft and by merging, what does not is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infra.models.errors import AdapterRefused
from infra.models.fingerprint import distance, measure
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel, load_folder
from infra.models.lora import CONFIG_FILE, WEIGHTS_FILE, attach_lora, load_trainable, verify_files
from infra.models.merging import merged_copy
from tests.models_fixtures import make_tiny_lora


@pytest.fixture
def folder(tiny_loaded: LoadedModel, tmp_path: Path) -> Path:
    make_tiny_lora(tiny_loaded, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_merged_and_beside_the_base_say_the_same(tiny_loaded: LoadedModel, tiny_model_dir: Path, folder: Path) -> None:
    before = measure(tiny_loaded)
    merged = measure(tiny_loaded, merged_copy(tiny_loaded, folder))
    other = load_folder(tiny_model_dir, device="cpu", dtype="float32")
    beside = measure(other, load_trainable(other, folder, trainable=False))
    assert distance(merged, beside) < 1e-4
    assert distance(merged, before) > 0.1
    assert measure(tiny_loaded) == before, "the base is untouched"


def test_a_merged_copy_shares_what_the_adapter_leaves_alone(tiny_loaded: LoadedModel, folder: Path) -> None:
    merged = merged_copy(tiny_loaded, folder)
    assert merged.model.embed_tokens.weight is tiny_loaded.model.model.embed_tokens.weight
    assert merged.model.norm.weight is tiny_loaded.model.model.norm.weight
    assert merged.model.layers[0].mlp.up_proj.weight is not tiny_loaded.model.model.layers[0].mlp.up_proj.weight
    assert not any(p.requires_grad for p in merged.parameters())


def test_a_fresh_adapter_changes_nothing_yet_and_can_learn(tiny_loaded: LoadedModel) -> None:
    before = measure(tiny_loaded)
    model = attach_lora(tiny_loaded, rank=2)
    assert (
        distance(measure(tiny_loaded, model), before) < 1e-5
    )  # computed beside the base's products: rounding, no more
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)


def test_files_are_verified_by_hash(folder: Path) -> None:
    hashes = hash_folder(folder)
    verify_files(folder, hashes)
    with pytest.raises(AdapterRefused, match="no hashes"):
        verify_files(folder, {})
    with (folder / WEIGHTS_FILE).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(AdapterRefused, match="another hash") as refused:
        verify_files(folder, hashes)
    assert refused.value.code == "adapter_corrupt"


def _edit_config(folder: Path, **values: object) -> None:
    path = folder / CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)


def _rename_first(tensors: dict[str, torch.Tensor]) -> None:
    name = min(tensors)
    tensors[name.replace("layers.0", "layers.9")] = tensors.pop(name)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda f: _edit_config(f, r=8), "adapter_corrupt"),
        (lambda f: _edit_config(f, use_dora=True), "adapter_unsupported"),
        (lambda f: _edit_config(f, peft_type="IA3"), "adapter_unsupported"),
        (lambda f: (f / CONFIG_FILE).write_text("{"), "adapter_corrupt"),
        (lambda f: (f / CONFIG_FILE).unlink(), "adapter_missing"),
        (lambda f: (f / WEIGHTS_FILE).unlink(), "adapter_missing"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(b"\0" * 40), "adapter_corrupt"),
        (lambda f: _edit_weights(f, _rename_first), "adapter_unsupported"),
        (lambda f: _edit_weights(f, lambda t: t.clear()), "adapter_unsupported"),
    ],
)
def test_what_does_not_fit_is_refused(
    spoil: Callable[[Path], None], code: str, tiny_loaded: LoadedModel, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(AdapterRefused) as refused:
        merged_copy(tiny_loaded, folder)
    assert refused.value.code == code


def test_another_base_is_refused(other_tiny_model_dir: Path, folder: Path) -> None:
    other = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    for load in (merged_copy, load_trainable):
        with pytest.raises(AdapterRefused) as refused:
            load(other, folder)
        assert refused.value.code == "adapter_wrong_base"


def test_a_version_is_never_written_twice(tiny_loaded: LoadedModel, folder: Path) -> None:
    with pytest.raises(FileExistsError, match="immutable"):
        make_tiny_lora(tiny_loaded, folder)
