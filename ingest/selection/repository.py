"""SQL of who votes: shown answers with their covariates, habits, models and reports."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, text

from infra.db import insert_ignore_many
from infra.db.tables import feedback_events, interactions, labels, selection_habits, selection_models
from ingest.repository import Answer
from ingest.selection.model import SelectionModel

_HABIT_COLUMNS = tuple(column.name for column in selection_habits.columns)
_CHUNK = 400
KEPT_VERSIONS = 3
"""Versions of the model whose habits are kept: labels need those of the newest one only."""


class _Message(msgspec.Struct):
    role: str
    content: str


class _MessagesOnly(msgspec.Struct):
    messages: list[_Message]


_decode_messages = msgspec.msgpack.Decoder(_MessagesOnly).decode


class LabelledAnswer(NamedTuple):
    """The newest final label of an answer, as far as opinions go."""

    response_id: str
    choice: int
    values: dict[str, float | None]


class Served(NamedTuple):
    """What is logged about an interaction before anybody votes. Lengths in characters, `turn` from 1."""

    user_key: str | None
    created_at: float
    adapter: str
    prompt_characters: int
    turn: int


class Shown(NamedTuple):
    """How an answer was shown: on what, and the probability with which the person was asked for a vote (None: not)."""

    device: str | None
    solicited: float | None


class SelectionRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def labelled(self, since: float, limit: int) -> list[LabelledAnswer]:
        """The newest final label of each answer, of the `limit` labels made last since `since`; sorted by answer."""
        c = labels.c
        rows = self._connection.execute(
            select(c.response_id, c.choice, c.version, c.objective_values)
            .where(c.project == self._project, c.made_at >= since, text("version >= 1"))
            .order_by(c.made_at.desc(), c.response_id, c.choice)
            .limit(limit)
        )
        newest: dict[Answer, tuple[int, dict[str, float | None]]] = {}
        for row in rows:
            known = newest.get((row.response_id, row.choice))
            if known is None or known[0] < row.version:
                newest[row.response_id, row.choice] = (row.version, row.objective_values)
        return [LabelledAnswer(*answer, newest[answer][1]) for answer in sorted(newest)]

    def served(self, response_ids: Collection[str]) -> dict[str, Served]:
        """These interactions, as far as they are known."""
        c = interactions.c
        found: dict[str, Served] = {}
        for some in _chunks(response_ids):
            rows = self._connection.execute(
                select(c.response_id, c.user_key, c.created_at, c.adapter, c.payload).where(
                    c.project == self._project, c.response_id.in_(some)
                )
            )
            for row in rows:
                messages = _decode_messages(bytes(row.payload)).messages
                said = [message.content for message in messages if message.role == "user"]
                found[row.response_id] = Served(
                    row.user_key, row.created_at, row.adapter, len(said[-1]) if said else 0, max(len(said), 1)
                )
        return found

    def shown(self, response_ids: Collection[str]) -> dict[Answer, Shown]:
        """How these answers were shown, by their newest `shown` event."""
        c = feedback_events.c
        found: dict[Answer, Shown] = {}
        for some in _chunks(response_ids):
            rows = self._connection.execute(
                select(c.response_id, c.choice, c.device, c.solicited)
                .where(c.project == self._project, c.response_id.in_(some), c.signal == "shown", c.operation == "set")
                .order_by(c.derived_at, c.event_id)
            )
            for row in rows:
                before = found.get((row.response_id, row.choice), Shown(None, None))
                found[row.response_id, row.choice] = Shown(
                    row.device or before.device, row.solicited if row.solicited is not None else before.solicited
                )
        return found

    def add(
        self,
        model: SelectionModel,
        report: Mapping[str, Any],
        habits: Mapping[str, tuple[int, int]],
        votes: int,
        now: float,
    ) -> int:
        """Keep a model, its report, and (shown, voted) by person; older habits go. Returns the version."""
        c, h = selection_models.c, selection_habits.c
        newest = self._connection.execute(select(func.max(c.version)).where(c.project == self._project)).scalar()
        version = (newest or 0) + 1
        self._connection.execute(
            insert(selection_models).values(
                project=self._project,
                version=version,
                votes=votes,
                document=msgspec.to_builtins(model),
                report=dict(report),
                fitted_at=now,
            )
        )
        rows = [(self._project, version, person, *counts) for person, counts in sorted(habits.items())]
        insert_ignore_many(self._connection, selection_habits, _HABIT_COLUMNS, rows)
        self._connection.execute(
            delete(selection_habits).where(h.project == self._project, h.version <= version - KEPT_VERSIONS)
        )
        return version

    def newest(self) -> tuple[int, float, SelectionModel, dict[str, Any]] | None:
        """(version, when it was fitted, model, report) of the newest model."""
        c = selection_models.c
        row = self._connection.execute(
            select(c.version, c.fitted_at, c.document, c.report)
            .where(c.project == self._project)
            .order_by(c.version.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        return row.version, row.fitted_at, msgspec.convert(row.document, SelectionModel), row.report

    def fitted_at(self) -> float:
        """When the newest model was fitted; 0 before the first."""
        c = selection_models.c
        found = self._connection.execute(select(func.max(c.fitted_at)).where(c.project == self._project)).scalar()
        return float(found or 0.0)

    def habits(self, version: int, people: Collection[str]) -> dict[str, tuple[int, int]]:
        """(shown, voted) of these people, as counted for one version of the model."""
        c = selection_habits.c
        found: dict[str, tuple[int, int]] = {}
        for some in _chunks(people):
            rows = self._connection.execute(
                select(c.user_key, c.shown, c.voted).where(
                    c.project == self._project, c.version == version, c.user_key.in_(some)
                )
            )
            found |= {row.user_key: (row.shown, row.voted) for row in rows}
        return found


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _CHUNK):
        yield wanted[start : start + _CHUNK]
