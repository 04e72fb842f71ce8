"""All SQL of the room: what should be served, and the proofs of what is."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion, Experiment
from infra.contracts.adapters import parse_ref
from infra.db import Dialect, upsert
from infra.db.tables import adapter_proofs, adapters, experiments, serving_state


class ServingRepository:
    """Rows of one project, over a connection that the caller commits."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def champion(self) -> tuple[AdapterRef, AdapterRef]:
        """(champion, last proven one before it); the base for both before the first promotion."""
        query = select(serving_state.c.champion, serving_state.c.last_proven)
        row = self._connection.execute(query.where(serving_state.c.project == self._project)).first()
        return (row.champion, row.last_proven) if row else (BASE_ADAPTER, BASE_ADAPTER)

    def running_experiment(self) -> Experiment | None:
        """The experiment that runs now; the newest, should there be several."""
        query = (
            select(experiments)
            .where(experiments.c.project == self._project, experiments.c.status == "running")
            .order_by(experiments.c.started_at.desc())
            .limit(1)
        )
        row = self._connection.execute(query).mappings().first()
        return msgspec.convert(_plain(row), Experiment) if row else None

    def adapter(self, ref: AdapterRef) -> AdapterVersion | None:
        name, version = parse_ref(ref)
        query = select(adapters).where(
            adapters.c.project == self._project, adapters.c.name == name, adapters.c.version == version
        )
        row = self._connection.execute(query).mappings().first()
        return _adapter(row) if row else None

    def adapters_on(self, base_model_hash: str) -> list[AdapterVersion]:
        """Every adapter ever trained on this base: the rivals of a proof."""
        query = select(adapters).where(
            adapters.c.project == self._project, adapters.c.base_model_hash == base_model_hash
        )
        return [_adapter(row) for row in self._connection.execute(query).mappings()]

    def write_proof(self, replica: str, ref: AdapterRef, status: str, detail: dict[str, Any], at: float) -> None:
        """The state of one adapter on one replica: proven, indistinguishable, refused or unloaded."""
        row = {"project": self._project, "replica": replica, "adapter": ref}
        dialect: Dialect = "sqlite" if self._connection.dialect.name == "sqlite" else "postgresql"
        values = {**row, "status": status, "detail": detail, "proved_at": at}
        self._connection.execute(upsert(adapter_proofs, dialect).values(values))

    def forget_proofs(self, replica: str, at: float) -> None:
        """A replica that starts has proven nothing yet."""
        self._connection.execute(
            update(adapter_proofs)
            .where(adapter_proofs.c.project == self._project, adapter_proofs.c.replica == replica)
            .values(status="unloaded", detail={"reason": "the replica started anew"}, proved_at=at)
        )


def _adapter(row: Any) -> AdapterVersion:
    return msgspec.convert(_plain(row), AdapterVersion)


def _plain(row: Any) -> dict[str, Any]:
    """A row with keys that are `str` itself: SQLAlchemy's are a subclass, which msgspec does not take."""
    return {str(name): value for name, value in row.items()}
