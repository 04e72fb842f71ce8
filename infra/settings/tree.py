"""The tree of settings as names: what can be set, and what a misspelt name was probably meant to be."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo


class Leaf(NamedTuple):
    """One value that can be set: its dotted name and its declaration."""

    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(self.name)

    @property
    def secret(self) -> bool:
        return self.field.annotation is SecretStr


def variable_of(name: str) -> str:
    """`section.key` -> `PLAUDIT_SECTION__KEY`."""
    return "PLAUDIT_" + name.upper().replace(".", "__")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model behind a field that is a section, else None."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the values of a field that is `dict[str, Model]`, else None."""
    arguments = get_args(field.annotation)
    if get_origin(field.annotation) is not dict or len(arguments) != 2:
        return None
    return arguments[1] if isinstance(arguments[1], type) and issubclass(arguments[1], BaseModel) else None


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[Leaf]:
    """Every value that can be set, in the order of declaration."""
    for key, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield Leaf(prefix + key, field)
        else:
            yield from leaves(section, f"{prefix}{key}.")


def sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its dotted name, parents before children."""
    for key, field in model.model_fields.items():
        section = section_of(field)
        if section is not None:
            yield prefix + key, section
            yield from sections(section, f"{prefix}{key}.")


def unknown_names(document: Mapping[str, Any], model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names in `document` that `model` does not know."""
    for key, value in document.items():
        field = model.model_fields.get(key)
        if field is None:
            yield prefix + key
            continue
        if not isinstance(value, Mapping):
            continue
        if section := section_of(field):
            yield from unknown_names(value, section, f"{prefix}{key}.")
        elif entry := table_of(field):
            for name, row in value.items():
                if isinstance(row, Mapping):
                    yield from unknown_names(row, entry, f"{prefix}{key}.{name}.")


def knows(model: type[BaseModel], name: str) -> bool:
    """Whether a dotted name is a section, a value, or an entry inside a value that is a table."""
    head, _, rest = name.partition(".")
    field = model.model_fields.get(head)
    if field is None:
        return False
    if not rest:
        return True
    if section := section_of(field):
        return knows(section, rest)
    if entry := table_of(field):
        _, _, inner = rest.partition(".")
        return not inner or knows(entry, inner)
    return get_origin(field.annotation) is dict


def nearest_name(name: str, model: type[BaseModel]) -> str | None:
    """The name that was probably meant: the same key in another section, else the closest spelling."""
    names = [leaf.name for leaf in leaves(model)] + [section for section, _ in sections(model)]
    names += _entry_names(name, model)
    same_key = [known for known in names if known.rpartition(".")[2] == name.rpartition(".")[2]]
    matches = difflib.get_close_matches(name, same_key or names, n=1, cutoff=0.0 if same_key else 0.55)
    return matches[0] if matches else None


def _entry_names(name: str, model: type[BaseModel]) -> list[str]:
    """For a name inside a `dict[str, Model]`: what its entry could have been asked for."""
    for leaf in leaves(model):
        entry = table_of(leaf.field)
        if entry is not None and name.startswith(leaf.name + "."):
            row = name.removeprefix(leaf.name + ".").partition(".")[0]
            return [inner.name for inner in leaves(entry, f"{leaf.name}.{row}.")]
    return []
