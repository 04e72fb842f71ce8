"""Settings for people and for child processes: `plaudit config show`, `plaudit.example.toml`, a resolved file."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from infra.settings.identity import resolved
from infra.settings.loading import (
    CONFIG_VARIABLE,
    NOT_SETTINGS,
    NOT_SETTINGS_PREFIXES,
    load_layers,
    load_settings,
    source_of,
)
from infra.settings.root import Settings
from infra.settings.tree import leaves, section_of, sections


class Description(NamedTuple):
    """One setting for people. `value` and `default` are plain JSON values, secrets masked; `source` says who set it:
    `default`, `profile`, the path of a file, `environment` or `override`."""

    name: str
    variable: str
    value: Any
    default: Any
    source: str
    doc: str


def describe(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, profile: Mapping[str, Any] | None = None
) -> list[Description]:
    """Every setting with where its value comes from; the arguments are those of `load_settings`. Same errors."""
    layers = load_layers(path, overrides, profile)
    values = resolved(load_settings(path, overrides, profile))
    defaults = resolved(Settings())
    return [
        Description(
            name=leaf.name,
            variable=leaf.variable,
            value=_lookup(values, leaf.name),
            default=_lookup(defaults, leaf.name),
            source=source_of(leaf.name, layers),
            doc=" ".join((leaf.field.description or "").split()),
        )
        for leaf in leaves(Settings)
    ]


def example_toml() -> str:
    """The text of `plaudit.example.toml`: every setting, commented out, at its default."""
    defaults = resolved(Settings())
    lines = [
        "# Every setting of Plaudit at its default. Copy to plaudit.toml and uncomment what you change.",
        "# Each one can be set by environment variable too: [section] key is PLAUDIT_SECTION__KEY.",
        "# Written by infra.settings.example_toml(); a test keeps it true.",
    ]
    tables: list[tuple[str, type[BaseModel]]] = [("", Settings), *sections(Settings)]
    for name, model in tables:
        if name:
            lines += ["", "", *_comment(model.__doc__ or ""), f"[{name}]"]
        for key, field in model.model_fields.items():
            full = f"{name}.{key}" if name else key
            if section_of(field) is not None:
                continue
            lines += ["", *_comment(field.description or ""), f"# {key} = {toml_value(_lookup(defaults, full))}"]
    return "\n".join(lines) + "\n"


def write_resolved(settings: Settings, path: Path) -> None:
    """Write all settings, secrets included, as a TOML file of mode 600: what a child process is started with."""
    document = settings.model_dump(mode="json")
    document["user_key_secret"] = settings.user_key_secret.get_secret_value()
    document["data_dir"] = str(settings.data_dir.absolute())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.chmod(0o600)
    draft.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()), encoding="utf-8")
    draft.replace(path)


def child_environment(config: Path) -> dict[str, str]:
    """This process's environment for a child that must see exactly the settings in the file `config`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("PLAUDIT_")
        or name.upper() in NOT_SETTINGS
        or name.upper().startswith(NOT_SETTINGS_PREFIXES)
    }
    return {**kept, CONFIG_VARIABLE: str(config.absolute())}


def toml_value(value: Any) -> str:
    """One plain JSON value in TOML's notation; tables are written inline. Raises TypeError for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    raise TypeError(f"TOML has no notation for {value!r}")


def _comment(text: str) -> list[str]:
    return [f"# {line.strip()}" for line in text.strip().splitlines() if line.strip()]


def _lookup(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value[part]
    return value
