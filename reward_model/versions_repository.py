"""SQL of reward model versions: which is champion, what an erasure tainted, what is served, what a label was."""

from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select, update

from infra.contracts import BASE_ADAPTER
from infra.db.tables import labels, reward_models, serving_state, taints

CHAMPION, CHALLENGER, FORMER = "champion", "challenger", "former"
"""States of a version: in use; trained and not (yet) better; champion once."""


class VersionRepository:
    """One project's reward model versions, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def champion(self, name: str) -> RowMapping | None:
        """The version of `name` in use, or None before any was good enough."""
        return self._first(self._versions(name).where(reward_models.c.state == CHAMPION))

    def find(self, name: str, version: int) -> RowMapping | None:
        """One version, or None."""
        return self._first(self._versions(name).where(reward_models.c.version == version))

    def all_versions(self, name: str) -> list[RowMapping]:
        """Every version of `name`, oldest first."""
        return list(self._connection.execute(self._versions(name).order_by(reward_models.c.version)).mappings())

    def promote(self, name: str, version: int, at: float) -> None:
        """Make a version the champion; the one before becomes `former`. Part of the caller's transaction."""
        c = reward_models.c
        mine = update(reward_models).where(c.project == self._project, c.name == name)
        # The old one first: the store holds no two champions of a name, not even for a moment.
        self._connection.execute(mine.where(c.state == CHAMPION).values(state=FORMER))
        self._connection.execute(mine.where(c.version == version).values(state=CHAMPION, promoted_at=at))

    def tainted_at(self, name: str, version: int) -> float | None:
        """When an erasure marked this version (Unix seconds, the latest one); None for a clean one."""
        c = taints.c
        query = (
            select(c.tainted_at)
            .where(c.project == self._project, c.kind == "reward_model", c.name == name, c.version == version)
            .order_by(c.tainted_at.desc())
            .limit(1)
        )
        return self._connection.execute(query).scalar_one_or_none()

    def served_adapter(self) -> str:
        """The policy people are served now: `name@version`, `base` before any promotion."""
        query = select(serving_state.c.champion).where(serving_state.c.project == self._project)
        return str(self._connection.execute(query).scalar_one_or_none() or BASE_ADAPTER)

    def newest_label(self, response_id: str, choice: int) -> dict[str, Any] | None:
        """The newest label of an answer, provisional or final, or None."""
        c = labels.c
        query = (
            select(labels)
            .where(c.project == self._project, c.response_id == response_id, c.choice == choice)
            .order_by(c.version.desc())
            .limit(1)
        )
        row = self._first(query)
        return None if row is None else dict(row)

    def _versions(self, name: str) -> Select[Any]:
        return select(reward_models).where(reward_models.c.project == self._project, reward_models.c.name == name)

    def _first(self, query: Select[Any]) -> RowMapping | None:
        return self._connection.execute(query).mappings().first()
