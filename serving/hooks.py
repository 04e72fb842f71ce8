"""Code of the deployment that settings name: `package.module:name`."""

import importlib
from typing import Any

from infra.contracts import PlauditError


class UnknownHook(PlauditError):
    """Settings name code that is not there."""

    code = "unknown_hook"


def load_hook(name: str, setting: str) -> Any:
    """The object that `name` stands for. Raises UnknownHook naming the setting."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UnknownHook(f"{setting} holds {name!r}: neither a built-in nor `module:name`", field=setting)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownHook(f"{setting} holds {name!r}, which cannot be loaded: {error}", field=setting) from None
