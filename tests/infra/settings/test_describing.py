import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from infra.settings import (
    Settings,
    child_environment,
    config_hash,
    describe,
    example_toml,
    load_settings,
    write_resolved,
)
from infra.settings.describing import toml_value
from infra.settings.tree import leaves


def test_every_setting_is_described_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plaudit.toml").write_text("[jobs]\nchild_niceness = 3")
    monkeypatch.setenv("PLAUDIT_JOBS__HEARTBEAT_SECONDS", "2")
    rows = {row.name: row for row in describe(overrides={"project": "shop"}, profile={"jobs.label_every_seconds": 1})}
    assert rows.keys() == {leaf.name for leaf in leaves(Settings)}
    assert rows["project"].source == "override"
    assert rows["jobs.heartbeat_seconds"].source == "environment"
    assert rows["jobs.heartbeat_seconds"].variable == "PLAUDIT_JOBS__HEARTBEAT_SECONDS"
    assert (rows["jobs.heartbeat_seconds"].value, rows["jobs.heartbeat_seconds"].default) == (2.0, 5.0)
    assert rows["jobs.child_niceness"].source == "plaudit.toml"
    assert rows["jobs.label_every_seconds"].source == "profile"
    assert rows["store.url"].source == "default"
    assert "SQLAlchemy URL" in rows["store.url"].doc


def test_the_example_changes_nothing_and_names_everything() -> None:
    text = example_toml()
    Path("plaudit.toml").write_text(text)
    assert load_settings() == Settings()
    active = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line for line in text.splitlines()
    )
    values = [line for line in text.splitlines() if line.startswith("# ") and " = " in line]
    assert len(values) >= len(list(leaves(Settings)))
    uncommented = "\n".join(line for line in active.splitlines() if not line.startswith("#"))
    Path("plaudit.toml").write_text(_only_assignments(uncommented))
    assert load_settings() == Settings()


def _only_assignments(text: str) -> str:
    """Prose that happens to hold ' = ' is not TOML."""
    kept = []
    for line in text.splitlines():
        try:
            tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            continue
        kept.append(line)
    return "\n".join(kept)


def test_a_child_sees_exactly_the_settings_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        overrides={
            "project": "shop",
            "data_dir": str(tmp_path / "data"),
            "user_key_secret": "s3cret",
            "jobs.child_niceness": 3,
        }
    )
    monkeypatch.setenv("PLAUDIT_PROJECT", "overridden-by-a-flag")
    monkeypatch.setenv("PLAUDIT_SHARED", "kept")
    config = tmp_path / "run" / "settings.toml"
    write_resolved(settings, config)
    environment = child_environment(config)
    assert {name for name in environment if name.startswith("PLAUDIT_")} == {"PLAUDIT_CONFIG", "PLAUDIT_SHARED"}
    monkeypatch.delenv("PLAUDIT_PROJECT")
    monkeypatch.setenv("PLAUDIT_CONFIG", environment["PLAUDIT_CONFIG"])
    child = load_settings()
    assert child == settings
    assert config_hash(child) == config_hash(settings)
    assert child.user_key_secret == SecretStr("s3cret")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


_scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@given(_values)
def test_values_survive_toml(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value
