"""Make MLflow say what the store says: missing versions are filed, aliases follow the states of the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.registry.aliases import AliasChange, plan_aliases
from infra.registry.registry import Registry, source_of


@dataclass(frozen=True)
class RegisteredRow:
    """One adapter or reward model of the store. `aliases` are those that must point at it, often none."""

    name: str
    version: int
    path: str
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


def reconcile(registry: Registry, rows: Sequence[RegisteredRow]) -> list[AliasChange]:
    """File every row that is missing and move the aliases; returns the moves made. Idempotent.

    Raises RegistryUnavailable; running it again later mends everything.
    """
    wanted: dict[str, dict[str, int]] = {}
    filed: dict[str, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: (row.name, row.version)):
        if row.name not in filed:
            filed[row.name] = registry.versions(row.name)
        number = filed[row.name].get(source_of(row.path))
        if number is None:
            number = registry.register_version(row.name, None, row.path, row.tags)
        aliases = wanted.setdefault(row.name, {})
        aliases.update(dict.fromkeys(row.aliases, number))
    changes = plan_aliases(wanted, {name: registry.aliases(name) for name in wanted})
    for change in changes:
        _apply(registry, change)
    return changes


def _apply(registry: Registry, change: AliasChange) -> None:
    if change.version is None:
        registry.delete_alias(change.model, change.alias)
    else:
        registry.set_alias(change.model, change.alias, change.version)
