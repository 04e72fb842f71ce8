"""One tree of settings: `plaudit.toml` overridden by `PLAUDIT_*` environment variables; unknown keys fail."""

from infra.settings.loading import load_settings, resolved
from infra.settings.root import Settings

__all__ = ["Settings", "load_settings", "resolved"]
