"""All SQL of the reward model: what it learns from as of an instant (`evidence_repository`), and its own rows."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select

from infra.db.tables import reward_models, taints
from reward_model.evidence_repository import EvidenceRepository


def instant_text(seconds: float) -> str:
    """Unix seconds as the ISO 8601 text of `labels_as_of`, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def instant_seconds(text: str) -> float:
    """The inverse of `instant_text`."""
    return datetime.fromisoformat(text).timestamp()


class RewardModelRepository(EvidenceRepository):
    """One project's rows, through one connection."""

    def newest(self, name: str) -> RowMapping | None:
        """The newest reward model of that name, or None."""
        c = reward_models.c
        query = (
            select(reward_models).where(c.project == self._project, c.name == name).order_by(c.version.desc()).limit(1)
        )
        return self._connection.execute(query).mappings().first()

    def tainted(self, name: str, version: int) -> bool:
        """Whether somebody was erased whom this version may have learned from."""
        c = taints.c
        query = select(func.count()).where(
            c.project == self._project, c.kind == "reward_model", c.name == name, c.version == version
        )
        return self._count(query) > 0

    def add(self, row: dict[str, Any]) -> None:
        """A trained reward model; `project` is filled in."""
        self._connection.execute(insert(reward_models).values(project=self._project, **row))
