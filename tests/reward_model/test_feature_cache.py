"""Features on disk: found again, bounded, and never fatal to lose."""

import errno
import os
from pathlib import Path

import pytest
import torch

from reward_model.feature_cache import FeatureCache


def rows(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.full((4,), float(i)) + torch.arange(4) for i, name in enumerate(names)}


def test_what_was_written_is_found_by_another(tmp_path: Path) -> None:
    FeatureCache(tmp_path, 10**9).write(rows("a", "b"))
    FeatureCache(tmp_path, 10**9).write({"c": torch.ones(4)})
    found = FeatureCache(tmp_path, 10**9).read({"b", "c", "missing"})
    assert set(found) == {"b", "c"}
    assert torch.equal(found["b"], rows("a", "b")["b"])


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    FeatureCache(tmp_path, 10**9).write({})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_segment_costs_its_own_rows_only(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 10**9)
    cache.write(rows("a"))
    next(tmp_path.glob("*.safetensors")).write_bytes(b"no safetensors")
    cache.write(rows("b"))
    assert set(cache.read({"a", "b"})) == {"b"}


def test_a_single_wrong_bit_is_noticed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 10**9)
    cache.write(rows("a", "b"))
    path = next(tmp_path.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert cache.read({"a", "b"}) == {}


def test_half_a_segment_does_not_stay_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: object, _target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        FeatureCache(tmp_path, 10**9).write(rows("a"))
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_segment_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "abc.part").write_bytes(b"half")
    assert FeatureCache(tmp_path, 10**9).read({"a"}) == {}


def test_the_oldest_go_first_and_the_newest_stays(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 10**9)
    for age, name in enumerate(["new", "middle", "old"]):
        cache.write(rows(name))
        for path in tmp_path.glob("*.safetensors"):
            if path.stat().st_mtime > 2e8:
                os.utime(path, (1e8 - age, 1e8 - age))
    size = next(tmp_path.glob("*.safetensors")).stat().st_size
    FeatureCache(tmp_path, 2 * size + 10).write(rows("newest"))
    assert set(cache.read({"old", "middle", "new", "newest"})) == {"new", "newest"}
    FeatureCache(tmp_path, 0).write(rows("last"))
    assert set(cache.read({"new", "newest", "last"})) == {"last"}
