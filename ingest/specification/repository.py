"""SQL of the versions of the reward specification and of the labels a candidate would have made."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from infra.contracts import Label
from infra.db import insert_ignore_many, upsert_many
from infra.db.tables import labels, reward_specifications, shadow_labels

_SPECIFICATION_COLUMNS = tuple(column.name for column in reward_specifications.columns)
_SHADOW_COLUMNS = tuple(column.name for column in shadow_labels.columns)


class SpecificationVersion(msgspec.Struct, frozen=True):
    """One version of the specification and when labels were first made by it (Unix seconds)."""

    config_hash: str
    document: dict[str, Any]
    first_used_at: float


class LabelBeside(msgspec.Struct, frozen=True):
    """What two specifications say about one answer: values by objective, and weights."""

    in_force: dict[str, float | None]
    in_force_weights: dict[str, float]
    candidate: dict[str, float | None]
    candidate_weights: dict[str, float]


class SpecificationRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def record(self, config_hash: str, document: dict[str, Any], now: float) -> bool:
        """Keep this version; whether it is new."""
        row = (self._project, config_hash, document, now)
        return insert_ignore_many(self._connection, reward_specifications, _SPECIFICATION_COLUMNS, [row]) > 0

    def versions(self) -> list[SpecificationVersion]:
        """Every version, the first used first."""
        c = reward_specifications.c
        rows = self._connection.execute(
            select(c.config_hash, c.document, c.first_used_at)
            .where(c.project == self._project)
            .order_by(c.first_used_at, c.config_hash)
        )
        return [SpecificationVersion(*row) for row in rows]

    def put_shadows(self, made: Iterable[Label]) -> None:
        """Write what a candidate says; what it said before about the same answer is replaced."""
        rows = [
            (
                label.project,
                label.config_hash,
                label.response_id,
                label.choice,
                label.values,
                label.weights,
                label.made_at,
            )
            for label in made
        ]
        upsert_many(self._connection, shadow_labels, _SHADOW_COLUMNS, rows)

    def beside(self, candidate_hash: str, limit: int) -> Iterator[LabelBeside]:
        """The newest final labels that have a shadow under `candidate_hash`, at most `limit`, the latest made first."""
        c, s = labels.c, shadow_labels.c
        newest = (
            select(c.response_id, c.choice, func.max(c.version).label("version"))
            .where(c.project == self._project, c.version >= 1)
            .group_by(c.response_id, c.choice)
            .subquery()
        )
        same_version = and_(
            c.response_id == newest.c.response_id, c.choice == newest.c.choice, c.version == newest.c.version
        )
        same_answer = and_(s.project == c.project, s.response_id == c.response_id, s.choice == c.choice)
        rows = self._connection.execute(
            select(c.objective_values, c.weights, s.objective_values, s.weights)
            .select_from(labels.join(newest, same_version).join(shadow_labels, same_answer))
            .where(c.project == self._project, s.config_hash == candidate_hash)
            .order_by(s.made_at.desc(), c.response_id, c.choice)
            .limit(limit)
        )
        for row in rows:
            yield LabelBeside(*row)
