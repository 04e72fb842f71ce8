"""SQL of what learned from people: which reward models and adapters an erasure taints, and which are tainted."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from infra.db import insert_ignore_many
from infra.db.tables import adapters, interactions, reward_models, taints

_COLUMNS = ("project", "kind", "name", "version", "erasure_id", "reason", "tainted_at")


class Taint(NamedTuple):
    """A reward model or adapter that learned from an erased person, or may have."""

    kind: str
    name: str
    version: int
    reason: str

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


class ArtefactRepository:
    """One project's artefacts, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def learned_from(self, answered_at: Sequence[float], reacted_at: float, asked: Collection[float]) -> list[Taint]:
        """What may have learned from answers made at `answered_at` with feedback from `reacted_at` on, or from prompts
        asked at `asked` (Unix seconds; `reacted_at` infinite where there was none).

        Training sets are not stored row by row. A reward model is tainted when one of the answers lies within the span
        its card gives for its training answers and feedback had come by its instant; an adapter when a prompt was
        there before it was trained, or when its reward model or its parent is tainted. Sooner one too many than one
        too few: the cost is a training, not a right.
        """
        models = self._reward_models(answered_at, reacted_at)
        return models + self._adapters({f"{one.name}@{one.version}" for one in models}, asked)

    def mark(self, tainted: Collection[Taint], erasure_id: str, at: float) -> None:
        """Write taints down; those that stand stay."""
        rows = [(self._project, one.kind, one.name, one.version, erasure_id, one.reason, at) for one in tainted]
        insert_ignore_many(self._connection, taints, _COLUMNS, rows)

    def marked_by(self, erasure_id: str) -> list[Taint]:
        """The taints of one erasure."""
        columns = taints.columns
        rows = self._connection.execute(
            select(columns.kind, columns.name, columns.version, columns.reason)
            .where(columns.project == self._project, columns.erasure_id == erasure_id)
            .order_by(columns.kind, columns.name, columns.version)
        )
        return [Taint._make(row) for row in rows]

    def asked_at(self, responses: Collection[str]) -> list[float]:
        """When those of these responses were made that we answered ourselves: their prompts may train a policy."""
        columns = interactions.columns
        wanted = sorted(responses)
        found: list[float] = []
        for start in range(0, len(wanted), 500):
            found += self._connection.execute(
                select(columns.created_at).where(
                    columns.project == self._project,
                    columns.source == "gateway",
                    columns.response_id.in_(wanted[start : start + 500]),
                )
            ).scalars()
        return found

    def _reward_models(self, answered_at: Sequence[float], reacted_at: float) -> list[Taint]:
        columns = reward_models.columns
        rows = self._connection.execute(
            select(columns.name, columns.version, columns.labels_as_of, columns.metrics)
            .where(columns.project == self._project)
            .order_by(columns.name, columns.version)
        )
        return [
            Taint("reward_model", row.name, row.version, "its training set may hold erased labels")
            for row in rows
            if reacted_at <= datetime.fromisoformat(row.labels_as_of).timestamp()
            and _spans(row.metrics.get("card", {}), answered_at)
        ]

    def _adapters(self, tainted_models: set[str], asked: Collection[float]) -> list[Taint]:
        columns = adapters.columns
        rows = self._connection.execute(
            select(columns.name, columns.version, columns.parent, columns.lineage, columns.created_at)
            .where(columns.project == self._project)
            .order_by(columns.created_at, columns.name, columns.version)
        )
        found: list[Taint] = []
        refs: set[str] = set()
        for row in rows:
            reason = _reason(row, tainted_models, refs, asked)
            if reason:
                found.append(Taint("adapter", row.name, row.version, reason))
                refs.add(found[-1].ref)
        return found


def _spans(card: dict[str, Any], instants: Sequence[float]) -> bool:
    first, last = card.get("first_answer_at"), card.get("last_answer_at")
    if first is None or last is None:
        return True  # nothing is known: the safe answer
    return any(first <= instant <= last for instant in instants)


def _reason(row: Any, models: set[str], adapters_before: set[str], asked: Collection[float]) -> str:
    reward_model = row.lineage.get("reward_model")
    if reward_model in models:
        return f"its reward model {reward_model} is tainted"
    if row.parent in adapters_before:
        return f"its parent {row.parent} is tainted"
    if any(instant <= row.created_at for instant in asked):
        return "its training prompts may hold erased ones"
    return ""
