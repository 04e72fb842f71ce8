"""One tree of settings: `plaudit.toml` overridden by `PLAUDIT_*` environment variables; unknown keys fail."""

from infra.settings.describing import Description, child_environment, describe, example_toml, write_resolved
from infra.settings.identity import (
    config_hash,
    console_password,
    resolved,
    rotate_user_secret,
    user_secret,
    user_secrets,
)
from infra.settings.loading import InvalidSettings, load_settings
from infra.settings.root import Settings

__all__ = [
    "Description",
    "InvalidSettings",
    "Settings",
    "child_environment",
    "config_hash",
    "console_password",
    "describe",
    "example_toml",
    "load_settings",
    "resolved",
    "rotate_user_secret",
    "user_secret",
    "user_secrets",
    "write_resolved",
]
