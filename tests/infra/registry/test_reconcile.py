"""The registry follows the store: after any change of states, and from nothing."""

from pathlib import Path

from infra.registry import AliasChange, RegisteredRow, Registry, reconcile


def _rows(tmp_path: Path, *aliases: tuple[str, ...]) -> list[RegisteredRow]:
    return [
        RegisteredRow("loop", version, str(tmp_path / str(version)), {"ref": f"loop@{version}"}, names)
        for version, names in enumerate(aliases, start=1)
    ]


def test_from_nothing_then_idempotent(registry: Registry, tmp_path: Path) -> None:
    rows = _rows(tmp_path, ("champion",), ("challenger",))
    assert reconcile(registry, rows) == [
        AliasChange("loop", "challenger", 2),
        AliasChange("loop", "champion", 1),
    ]
    assert registry.versions("loop") == {str(tmp_path / "1"): 1, str(tmp_path / "2"): 2}
    assert reconcile(registry, rows) == []


def test_a_promotion_moves_both_aliases(registry: Registry, tmp_path: Path) -> None:
    reconcile(registry, _rows(tmp_path, ("champion",), ("challenger",)))
    reconcile(registry, _rows(tmp_path, ("previous",), ("champion",)))
    assert registry.aliases("loop") == {"champion": 2, "previous": 1}


def test_a_hand_made_alias_is_undone(registry: Registry, tmp_path: Path) -> None:
    rows = _rows(tmp_path, ("champion",), ())
    reconcile(registry, rows)
    registry.set_alias("loop", "champion", 2)
    reconcile(registry, rows)
    assert registry.aliases("loop") == {"champion": 1}


def test_numbers_of_mlflow_need_not_match_those_of_the_store(registry: Registry, tmp_path: Path) -> None:
    """A version filed out of order keeps its own number; rows are recognised by their folder."""
    registry.register_version("loop", None, tmp_path / "2")
    reconcile(registry, _rows(tmp_path, (), ("champion",)))
    assert registry.versions("loop") == {str(tmp_path / "2"): 1, str(tmp_path / "1"): 2}
    assert registry.aliases("loop") == {"champion": 1}
