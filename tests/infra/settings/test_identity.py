import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.settings import (
    Settings,
    config_hash,
    load_settings,
    resolved,
    rotate_user_secret,
    user_secret,
    user_secrets,
)
from infra.settings.infrastructure import JobSettings, StoreSettings


def test_resolved_masks_secrets_and_passwords() -> None:
    settings = Settings(
        user_key_secret=SecretStr("hidden-one"),
        store=StoreSettings(url="postgresql+psycopg://user:hidden-two@host/name"),
    )
    document = resolved(settings)
    assert "hidden" not in str(document)
    assert document["user_key_secret"] == "***"
    assert document["store"]["url"] == "postgresql+psycopg://user:***@host/name"
    assert resolved(Settings())["user_key_secret"] == ""


def test_the_hash_ignores_secrets_and_nothing_else() -> None:
    plain = config_hash(Settings())
    assert len(plain) == 64
    assert config_hash(Settings(user_key_secret=SecretStr("x"))) == plain
    assert config_hash(Settings(jobs=JobSettings(child_niceness=11))) != plain
    assert config_hash(Settings(project="other")) != plain


def test_the_hash_depends_on_values_not_on_their_source() -> None:
    Path("plaudit.toml").write_text("[jobs]\nchild_niceness = 3\nheartbeat_seconds = 2.0")
    from_flags = load_settings(None, {"jobs": {"heartbeat_seconds": 2, "child_niceness": 3}})
    assert config_hash(load_settings()) == config_hash(from_flags)


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: user_secret(settings), range(32)))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 64
    files = list((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["user_key_secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_a_given_secret_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", user_key_secret=SecretStr("given"))
    assert user_secret(settings) == b"given"
    assert not (tmp_path / "data").exists()


def test_the_store_is_in_the_data_folder_unless_named() -> None:
    assert Settings(data_dir=Path("/d")).store_url == "sqlite:////d/store.sqlite3"
    assert Settings(store=StoreSettings(url="sqlite:////x")).store_url == "sqlite:////x"


def test_rotation_keeps_the_former_secrets_and_makes_a_new_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", previous_user_key_secrets=SecretStr("oldest, older"))
    first = user_secret(settings)
    assert user_secrets(settings) == (first, b"oldest", b"older")
    rotate_user_secret(settings)
    second = user_secret(settings)
    rotate_user_secret(settings)
    third = user_secret(settings)
    assert len({first, second, third}) == 3
    assert user_secrets(settings) == (third, b"oldest", b"older", second, first)
    for path in settings.data_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_is_a_setting_is_rotated_where_it_is_set(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, user_key_secret=SecretStr("given"))
    with pytest.raises(ValueError, match="user_key_secret is set"):
        rotate_user_secret(settings)
    assert user_secrets(settings) == (b"given",)
