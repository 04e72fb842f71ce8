"""MLflow behind a narrow door: runs, metrics, artifacts, model versions and aliases.

The store is the truth. What stands here is a record for people and tools; losing all of it loses no decision, and
`reconcile` rebuilds versions and aliases from the store.
"""

from infra.registry.aliases import AliasChange, plan_aliases
from infra.registry.backend import RegistryUnavailable
from infra.registry.reconcile import RegisteredRow, reconcile
from infra.registry.registry import Registry
from infra.registry.runs import Run

__all__ = [
    "AliasChange",
    "RegisteredRow",
    "Registry",
    "RegistryUnavailable",
    "Run",
    "plan_aliases",
    "reconcile",
]
