"""What the code says about commands, settings and routes, to hold deployment files against."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from typer.main import get_command

from infra.runtime import Health
from infra.runtime.http import operations_routes
from infra.settings import Settings, load_settings


def check_command(words: Sequence[str]) -> dict[str, Any]:
    """The parameters that `plaudit WORDS` would be called with. Raises KeyError for an unknown command, and click's
    errors for an unknown option or a value of the wrong kind."""
    from plaudit.cli import app

    node: Any = get_command(app)
    rest = list(words)
    while hasattr(node, "commands"):
        node = node.commands[rest.pop(0)]
    return dict(node.make_context(node.name, rest).params)


def settings_from(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a process that gets these variables and no others. Raises InvalidSettings for an unknown one."""
    import os

    for name in [name for name in os.environ if name.startswith("PLAUDIT_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        if name.startswith("PLAUDIT_"):
            monkeypatch.setenv(name, value)
    return load_settings()


def operational_paths() -> set[str]:
    """Paths that every service has."""
    return {route.path for route in operations_routes(Health())}
