"""SQL of the pages on models: adapters with parents and children, proofs, reports, and answers side by side."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from infra.contracts.adapters import parse_ref
from infra.db.tables import adapter_proofs, adapters, interactions, offline_online_points, reward_models, taints

Row = RowMapping


class ModelsRepository:
    """One project's rows, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def adapter(self, ref: str) -> Row | None:
        """One adapter with its gate document and without its fingerprint."""
        name, version = parse_ref(ref)
        c = adapters.c
        columns = [column for column in c if column.name not in ("fingerprint", "file_hashes", "path")]
        query = select(*columns).where(c.project == self._project, c.name == name, c.version == version)
        return self._connection.execute(query).mappings().first()

    def children(self, ref: str, limit: int) -> Sequence[Row]:
        """Adapters that began from this one, oldest first."""
        c = adapters.c
        query = select(c.name, c.version, c.state, c.created_at).where(c.project == self._project, c.parent == ref)
        return self._connection.execute(query.order_by(c.created_at).limit(limit)).mappings().all()

    def proofs(self, limit: int, ref: str | None = None) -> Sequence[Row]:
        """Proofs by replica, of one adapter or of all, the newest first."""
        c = adapter_proofs.c
        query = select(adapter_proofs).where(c.project == self._project)
        if ref is not None:
            query = query.where(c.adapter == ref)
        return self._connection.execute(query.order_by(c.proved_at.desc()).limit(limit)).mappings().all()

    def taints(self, name: str, version: int) -> Sequence[Row]:
        """What an erasure marked of an adapter."""
        c = taints.c
        own = (c.project == self._project, c.kind == "adapter", c.name == name, c.version == version)
        return self._connection.execute(select(c.reason, c.tainted_at).where(*own).limit(20)).mappings().all()

    def reward_model(self, name: str | None, version: int | None) -> Row | None:
        """A reward model with its report: the one named, else the champion, else the newest."""
        c = reward_models.c
        query = select(reward_models).where(c.project == self._project)
        if name is not None and version is not None:
            query = query.where(c.name == name, c.version == version)
        first = (c.state == "champion").desc()
        return self._connection.execute(query.order_by(first, c.created_at.desc()).limit(1)).mappings().first()

    def answers(self, experiment_id: str, limit: int) -> Sequence[Row]:
        """The newest answers of an experiment, whatever their arm, as they were logged."""
        c = interactions.c
        query = (
            select(c.response_id, c.adapter, c.arm, c.payload)
            .where(c.project == self._project, c.experiment == experiment_id)
            .order_by(c.known_at.desc())
            .limit(limit)
        )
        return self._connection.execute(query).mappings().all()

    def waiting_points(self, objective: str) -> list[Any]:
        """Candidates that have a prediction and whose people have not answered yet."""
        c = offline_online_points.c
        query = select(c.candidate, c.predicted).where(
            c.project == self._project, c.objective == objective, c.realised_at.is_(None)
        )
        return list(self._connection.execute(query.order_by(c.predicted_at).limit(50)))
