"""Aliases as a projection: which must be set or removed so that MLflow says what the store says. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class AliasChange(NamedTuple):
    """Point `alias` of `model` at `version`; remove it where `version` is None."""

    model: str
    alias: str
    version: int | None


def plan_aliases(
    wanted: Mapping[str, Mapping[str, int]], present: Mapping[str, Mapping[str, int]]
) -> list[AliasChange]:
    """The changes that turn `present` into `wanted`; both map model -> alias -> version.

    Models missing from `wanted` are not ours and stay untouched. Sorted, so that the same difference gives the same
    list; applying it and planning again gives [].
    """
    changes = []
    for model, aliases in sorted(wanted.items()):
        now = present.get(model, {})
        for alias in sorted(aliases.keys() | now.keys()):
            target = aliases.get(alias)
            if target != now.get(alias):
                changes.append(AliasChange(model, alias, target))
    return changes
