"""Combined adapters as folders: loaded as any other, they change the model by exactly the sum of the parts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from infra.models.errors import AdapterRefused
from infra.models.lora import WEIGHTS_FILE, load_trainable, read_weights, verify_files
from infra.models.merging import merged_copy
from policy_update.candidates.folders import read_layers, write_combination
from tests.models_fixtures import make_tiny_lora

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel


@pytest.fixture
def two(tiny_loaded: "LoadedModel", tmp_path: Path) -> tuple[Path, Path]:
    for seed, rank in ((1, 4), (2, 2)):
        make_tiny_lora(tiny_loaded, tmp_path / str(seed), seed=seed, rank=rank)
    return tmp_path / "1", tmp_path / "2"


def change(loaded: "LoadedModel", folder: Path) -> dict[str, torch.Tensor]:
    merged: Any = merged_copy(loaded, folder)
    originals = dict(loaded.model.named_parameters())
    return {name: p.double() - originals[name].double() for name, p in merged.named_parameters()}


def test_a_soup_changes_the_model_by_the_mean(
    tiny_loaded: "LoadedModel", two: tuple[Path, Path], tmp_path: Path
) -> None:
    hashes, lost = write_combination(tiny_loaded, [(0.25, two[0]), (0.75, two[1])], tmp_path / "soup", 64)
    verify_files(tmp_path / "soup", hashes)
    assert lost == 0.0
    first, second, soup = (change(tiny_loaded, folder) for folder in (*two, tmp_path / "soup"))
    for name in soup:
        assert torch.allclose(soup[name], 0.25 * first[name] + 0.75 * second[name], atol=1e-5), name
    # And it can be trained on as any other.
    assert load_trainable(tiny_loaded, tmp_path / "soup").peft_config["default"].r == 6


def test_an_extrapolation_of_one_is_exact_to_the_bit(
    tiny_loaded: "LoadedModel", two: tuple[Path, Path], tmp_path: Path
) -> None:
    _, lost = write_combination(tiny_loaded, [(1.5, two[0])], tmp_path / "far", 1)
    assert lost == 0.0
    ours, theirs = read_weights(tmp_path / "far"), read_weights(two[0])
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for name, pair in read_layers(tmp_path / "far", tiny_loaded).items():
        original = read_layers(two[0], tiny_loaded)[name]
        assert torch.allclose(pair.b, 1.5 * original.b)


def test_back_from_beyond_the_champion(tiny_loaded: "LoadedModel", two: tuple[Path, Path], tmp_path: Path) -> None:
    """1.3 of the one and -0.3 of what it began from."""
    write_combination(tiny_loaded, [(1.3, two[0]), (-0.3, two[1])], tmp_path / "expo", 64)
    first, second, found = (change(tiny_loaded, folder) for folder in (*two, tmp_path / "expo"))
    for name in found:
        assert torch.allclose(found[name], second[name] + 1.3 * (first[name] - second[name]), atol=1e-5)


def test_a_cut_rank_tells_what_is_lost(tiny_loaded: "LoadedModel", two: tuple[Path, Path], tmp_path: Path) -> None:
    _, lost = write_combination(tiny_loaded, [(0.5, two[0]), (0.5, two[1])], tmp_path / "cut", 3)
    assert 0.0 < lost < 0.5
    assert {pair.a.shape[0] for pair in read_layers(tmp_path / "cut", tiny_loaded).values()} == {3}


def test_what_is_no_adapter_of_this_base_is_refused(
    tiny_loaded: "LoadedModel", other_tiny_model_dir: Path, two: tuple[Path, Path], tmp_path: Path
) -> None:
    from infra.models.loading import load_folder

    other = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    with pytest.raises(AdapterRefused, match="load the same base model"):
        write_combination(other, [(0.5, two[0]), (0.5, two[1])], tmp_path / "wrong", 64)
    with pytest.raises(FileExistsError, match="immutable"):
        write_combination(tiny_loaded, [(0.5, two[0])], two[1], 64)
    (two[0] / WEIGHTS_FILE).unlink()
    with pytest.raises(AdapterRefused, match="is missing"):
        read_layers(two[0], tiny_loaded)
