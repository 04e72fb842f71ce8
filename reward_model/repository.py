"""All SQL of the reward model: labels, pairs and answers as of an instant, and its own rows."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    TextClause,
    and_,
    func,
    insert,
    or_,
    select,
    text,
)

from infra.contracts import Interaction
from infra.db.tables import interactions, labels, pairs, reward_models, taints
from reward_model.data import AnswerRow, Key, LabelRow, PairRow

_PER_QUERY = 500
"""Ids in one IN list: far below SQLite's limit of variables."""
_FINAL = text("version >= 1")
"""Final labels, said literally: SQLite uses the index that holds them alone only where it sees the condition."""


def instant_text(seconds: float) -> str:
    """Unix seconds as the ISO 8601 text of `labels_as_of`, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def instant_seconds(text: str) -> float:
    """The inverse of `instant_text`."""
    return datetime.fromisoformat(text).timestamp()


class RewardModelRepository:
    """One project's rows, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def labels_as_of(self, instant: float, *, include_provisional: bool, limit: int) -> list[LabelRow]:
        """The label that held at `instant` for each answer, the `limit` newest ones, newest first.

        The greatest final version made by then; with `include_provisional`, else the provisional one, which is updated
        in place: a past instant sees it only if it has not changed since.
        """
        c = labels.c
        made = and_(c.project == self._project, c.made_at <= instant)
        kept = made if include_provisional else and_(made, _FINAL)
        newest = select(c.response_id, c.choice, func.max(c.version).label("version")).where(kept)
        latest = newest.group_by(c.response_id, c.choice).subquery()
        same = and_(
            c.project == self._project,
            c.response_id == latest.c.response_id,
            c.choice == latest.c.choice,
            c.version == latest.c.version,
        )
        query = select(labels).join(latest, same).order_by(c.made_at.desc(), c.response_id, c.choice).limit(limit)
        return [
            LabelRow(
                key=(row["response_id"], row["choice"]),
                values=row["objective_values"],
                weights=row["weights"],
                made_at=row["made_at"],
                status=row["status"],
            )
            for row in self._connection.execute(query).mappings()
        ]

    def pairs_as_of(self, instant: float, limit: int) -> list[PairRow]:
        """Pairs made by `instant` and not withdrawn by then, of positive weight, the `limit` newest, newest first."""
        c = pairs.c
        query = (
            select(pairs).where(_standing(self._project, instant)).order_by(c.made_at.desc(), c.pair_id).limit(limit)
        )
        return [
            PairRow(
                pair_id=row["pair_id"],
                preferred=(row["preferred_response_id"], row["preferred_choice"]),
                other=(row["other_response_id"], row["other_choice"]),
                weight=row["weight"],
                source=row["source"],
                made_at=row["made_at"],
                user_key=row["user_key"],
            )
            for row in self._connection.execute(query).mappings()
        ]

    def answers(self, keys: Iterable[Key]) -> list[AnswerRow]:
        """The answers of `keys` that are known; the others never arrived, or were erased or expired."""
        wanted = set(keys)
        found: list[AnswerRow] = []
        for row in self._interactions(sorted({response_id for response_id, _ in wanted})):
            interaction = msgspec.msgpack.decode(row["payload"], type=Interaction)
            found.extend(a for a in _answers_of(interaction) if a.key in wanted)
        return found

    def new_since(self, since: float, instant: float, *, include_provisional: bool) -> tuple[int, int]:
        """(labelled answers, pairs) made in (since, instant]."""
        c = labels.c
        made: list[ColumnElement[bool] | TextClause] = [
            c.project == self._project,
            c.made_at > since,
            c.made_at <= instant,
        ]
        if not include_provisional:
            made.append(_FINAL)
        answers = select(c.response_id, c.choice).where(*made).distinct().subquery()
        counted = self._count(select(func.count()).select_from(answers))
        fresh = (
            select(func.count()).select_from(pairs).where(_standing(self._project, instant), pairs.c.made_at > since)
        )
        return counted, self._count(fresh)

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

    def _interactions(self, response_ids: list[str]) -> Iterator[RowMapping]:
        c = interactions.c
        for start in range(0, len(response_ids), _PER_QUERY):
            some = response_ids[start : start + _PER_QUERY]
            query = select(c.payload).where(c.project == self._project, c.response_id.in_(some))
            yield from self._connection.execute(query).mappings()

    def _count(self, query: Select[Any]) -> int:
        return int(self._connection.execute(query).scalar_one())


def _standing(project: str, instant: float) -> Any:
    c = pairs.c
    return and_(
        c.project == project,
        c.made_at <= instant,
        c.weight > 0.0,
        or_(c.withdrawn_at.is_(None), c.withdrawn_at > instant),
    )


def _answers_of(interaction: Interaction) -> Iterator[AnswerRow]:
    for answer in interaction.answers:
        yield AnswerRow(
            response_id=interaction.response_id,
            choice=answer.choice,
            conversation_id=interaction.conversation_id,
            user_key=interaction.user_key,
            created_at=interaction.created_at,
            messages=interaction.messages,
            text=answer.text,
            adapter=interaction.adapter,
            origin=interaction.source,
        )
