"""Load the settings: defaults < profile < `plaudit.toml` < environment `PLAUDIT_*` < overrides (command-line flags)."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from infra.contracts.errors import PlauditError
from infra.settings.root import Settings
from infra.settings.tree import knows, leaves, nearest_name, unknown_names, variable_of

CONFIG_FILE = "plaudit.toml"
CONFIG_VARIABLE = "PLAUDIT_CONFIG"

NOT_SETTINGS = (CONFIG_VARIABLE, "PLAUDIT_SHARED")
"""Environment variables that begin like settings and are none."""
NOT_SETTINGS_PREFIXES = ("PLAUDIT_TEST_", "PLAUDIT_BENCH_", "PLAUDIT_E2E_")


class InvalidSettings(PlauditError):
    """A file cannot be read, a name is unknown, or a value is out of range."""

    code = "invalid_settings"


class Layer(NamedTuple):
    """One source of settings: a name for people, and the values as a nested document."""

    source: str
    values: dict[str, Any]


def load_settings(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this process.

    `path` is the file (default: $PLAUDIT_CONFIG, else `plaudit.toml` in the working directory where there is one).
    `overrides` (flags of a command) win over everything, `profile` (of the demo, say) only over the defaults; both are
    nested or have dotted keys. Raises InvalidSettings, naming file or variable, value, and remedy.
    """
    layers = load_layers(path, overrides, profile)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise InvalidSettings(_explain(error, layers)) from error


def load_layers(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, profile: Mapping[str, Any] | None = None
) -> list[Layer]:
    """The sources of `load_settings`, weakest first, with their names checked. Raises InvalidSettings."""
    layers = [Layer("profile", _nested(profile or {}))]
    file = find_file(path)
    if file is not None:
        layers.append(Layer(str(file), read_file(file)))
    layers.append(Layer("environment", read_environment()))
    layers.append(Layer("override", _nested(overrides or {})))
    for layer in layers:
        _refuse_unknown(layer)
    return layers


def find_file(path: Path | None = None) -> Path | None:
    """The settings file: named by argument or $PLAUDIT_CONFIG (then it must exist), or `plaudit.toml` if it exists."""
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is None:
        default = Path(CONFIG_FILE)
        return default if default.is_file() else None
    if not named.is_file():
        raise InvalidSettings(
            f"settings file {str(named)!r} does not exist; "
            f"make one from plaudit.example.toml, or unset {CONFIG_VARIABLE}",
            field=CONFIG_VARIABLE,
        )
    return named


def read_file(path: Path) -> dict[str, Any]:
    """A TOML file as a nested document. Raises InvalidSettings."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path} is not TOML: {error}; mend the line or compare plaudit.example.toml") from error
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error}; mend its permissions") from error


def read_environment() -> dict[str, Any]:
    """The values set by PLAUDIT_* variables. Raises InvalidSettings for a variable that names no setting."""
    unknown = [name for name in sorted(os.environ) if _looks_like_setting(name) and not knows(Settings, _dotted(name))]
    if unknown:
        raise InvalidSettings("\n".join(_unknown_variable(name) for name in unknown), field=unknown[0])
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise InvalidSettings(f"environment: {error}; lists and tables are written as JSON") from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` and `{"a": {"b": 1}}` alike -> `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        document = _nested(value) if isinstance(value, Mapping) else value
        for key in reversed(name.split(".")):
            document = {key: document}
        nested = merge(nested, document)
    return nested


def _looks_like_setting(variable: str) -> bool:
    upper = variable.upper()
    return upper.startswith("PLAUDIT_") and upper not in NOT_SETTINGS and not upper.startswith(NOT_SETTINGS_PREFIXES)


def _dotted(variable: str) -> str:
    return variable[len("PLAUDIT_") :].lower().replace("__", ".")


def _unknown_variable(variable: str) -> str:
    meant = nearest_name(_dotted(variable), Settings)
    advice = f"did you mean {variable_of(meant)}?" if meant else "see `plaudit config show` for the names"
    return f"environment variable {variable} names no setting; {advice}"


def _refuse_unknown(layer: Layer) -> None:
    messages = []
    for name in unknown_names(layer.values, Settings):
        meant = nearest_name(name, Settings)
        advice = f"did you mean {meant!r}?" if meant else "see `plaudit config show` for the names"
        messages.append(f"{layer.source}: unknown setting {name!r}; {advice}")
    if messages:
        raise InvalidSettings("\n".join(messages))


def _explain(error: ValidationError, layers: list[Layer]) -> str:
    return "\n".join(_explain_one(details, layers) for details in error.errors(include_url=False))


def _explain_one(details: ErrorDetails, layers: list[Layer]) -> str:
    name = ".".join(str(part) for part in details["loc"]) or "settings"
    source = source_of(name, layers)
    secret = name in {leaf.name for leaf in leaves(Settings) if leaf.secret}
    shown = "***" if secret else repr(details["input"])
    where = variable_of(name) if source == "environment" else str(source)
    reason = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "literal_error":
        reason += _nearest_choices(name, details["input"])
    return f"{where}: {name} = {shown}: {reason}; correct it there, or set {variable_of(name)}"


def _nearest_choices(name: str, value: Any) -> str:
    """ "; did you mean ...?" with the names nearest to a value that is none of a setting's choices, or nothing."""
    choices = [choice for leaf in leaves(Settings) if leaf.name == name for choice in get_args(leaf.field.annotation)]
    near = difflib.get_close_matches(str(value), [choice for choice in choices if isinstance(choice, str)], n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def source_of(name: str, layers: list[Layer]) -> str:
    """The strongest layer that says something about a dotted name; `default` when none does."""
    for layer in reversed(layers):
        value: Any = layer.values
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            return str(layer.source)
    return "default"
