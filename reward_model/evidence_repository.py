"""SQL of what a training set is made of: labels, preferences, answers, judges and trust, as of an instant."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    TextClause,
    and_,
    func,
    or_,
    select,
    text,
)

from infra.contracts import Interaction
from infra.db.tables import feedback_events, interactions, label_bases, labels, pairs, person_trust, tombstones
from reward_model.edits import LedgerRow
from reward_model.rows import AnswerRow, Key, LabelRow, PairRow

_PER_QUERY = 500
"""Ids in one IN list: far below SQLite's limit of variables."""
_FINAL = text("version >= 1")
"""Final labels, said literally: SQLite uses the index that holds them alone only where it sees the condition."""
_FINAL_LABEL = text("labels.version >= 1")
_ID_BYTES = 16


class Basis(NamedTuple):
    """What a label was made from: the ids of the events, and whether its interaction was in the store by then."""

    events: frozenset[str]
    known: bool


class EvidenceRepository:
    """One project's rows, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def labels_as_of(self, instant: float, *, include_provisional: bool, limit: int) -> list[LabelRow]:
        """The label that held at `instant` for each answer, the `limit` newest ones, newest first.

        The greatest final version made by then; with `include_provisional`, else the provisional one, which is updated
        in place: a past instant sees it only if it has not changed since. Reads the index of final labels from its end
        and stops at `limit`, however long the history.
        """
        c = labels.c
        later = labels.alias("later")
        superseded = (
            select(later.c.version)
            .where(
                later.c.project == c.project,
                later.c.response_id == c.response_id,
                later.c.choice == c.choice,
                later.c.version > c.version,
                later.c.made_at <= instant,
            )
            .exists()
        )
        kept: list[ColumnElement[bool] | TextClause] = [c.project == self._project, c.made_at <= instant, ~superseded]
        if not include_provisional:
            kept.append(_FINAL_LABEL)
        # In the order of the index's own end, key included, so that nothing is sorted.
        newest_first = (c.made_at.desc(), c.response_id.desc(), c.choice.desc())
        query = select(labels).where(*kept).order_by(*newest_first).limit(limit)
        return [
            LabelRow(
                key=(row["response_id"], row["choice"]),
                values=row["objective_values"],
                weights=row["weights"],
                made_at=row["made_at"],
                status=row["status"],
                version=row["version"],
                specification=row["config_hash"],
            )
            for row in self._connection.execute(query).mappings()
        ]

    def older_labels(self, before: float) -> int:
        """Final versions made before the instant, replaced ones included: what a limit left out."""
        c = labels.c
        return self._count(select(func.count()).where(c.project == self._project, c.made_at < before, _FINAL_LABEL))

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
        c = interactions.c
        for row in self._by_ids(select(c.payload), c.response_id, {response_id for response_id, _ in wanted}):
            interaction = msgspec.msgpack.decode(row["payload"], type=Interaction)
            found.extend(a for a in _answers_of(interaction) if a.key in wanted)
        return found

    def bases(self, made: Collection[LabelRow]) -> dict[Key, Basis]:
        """What each of these final labels was made from, where that was kept."""
        version = {label.key: label.version for label in made}
        c = label_bases.c
        query = select(c.labelled_response_id, c.choice, c.version, c.seen, c.basis)
        found: dict[Key, Basis] = {}
        for row in self._by_ids(query, c.labelled_response_id, {response_id for response_id, _ in version}):
            key = (row["labelled_response_id"], row["choice"])
            if version.get(key) == row["version"]:
                found[key] = Basis(_event_ids(bytes(row["seen"])), bool(row["basis"].get("known", True)))
        return found

    def ledger(self, response_ids: Collection[str], instant: float) -> dict[Key, list[LedgerRow]]:
        """What was said about these responses by `instant`, by answer; texts of edits only."""
        c = feedback_events.c
        query = select(*(c[name] for name in LedgerRow.__struct_fields__), c.response_id, c.choice).where(
            c.received_at <= instant
        )
        found: dict[Key, list[LedgerRow]] = defaultdict(list)
        for row in self._by_ids(query, c.response_id, response_ids):
            fields = {name: row[name] for name in LedgerRow.__struct_fields__}
            found[row["response_id"], row["choice"]].append(LedgerRow(**fields))
        return found

    def trust_as_of(self, people: Collection[str], instant: float) -> dict[str, float]:
        """Weight in [0, 1] of these people's votes by the newest estimate at or before `instant`; people without one
        are left out."""
        c, other = person_trust.c, person_trust.alias("other").c
        same_person = and_(other.project == c.project, other.user_key == c.user_key, other.estimated_at <= instant)
        newest = select(func.max(other.estimated_at)).where(same_person).scalar_subquery()
        query = select(c.user_key, c.weight).where(c.estimated_at == newest)
        return {row["user_key"]: float(row["weight"]) for row in self._by_ids(query, c.user_key, people)}

    def lost_labels(self, since: float, instant: float, limit: int) -> dict[Key, frozenset[str]]:
        """Answers whose newest final label made in [since, instant] is in the store no more, with the ids of the events
        it was made from: the `limit` newest. Bases outlive their labels."""
        c = label_bases.c
        later = label_bases.alias("later")
        superseded = and_(
            later.c.project == c.project,
            later.c.labelled_response_id == c.labelled_response_id,
            later.c.choice == c.choice,
            later.c.version > c.version,
            later.c.made_at <= instant,
        )
        there = and_(
            labels.c.project == c.project,
            labels.c.response_id == c.labelled_response_id,
            labels.c.choice == c.choice,
            labels.c.version == c.version,
        )
        query = (
            select(c.labelled_response_id, c.choice, c.seen)
            .where(c.project == self._project, c.made_at >= since, c.made_at <= instant)
            .where(~select(labels.c.version).where(there).exists())
            .where(~select(later.c.version).where(superseded).exists())
            .order_by(c.made_at.desc(), c.labelled_response_id.desc(), c.choice.desc())
            .limit(limit)
        )
        return {(row[0], row[1]): _event_ids(bytes(row[2])) for row in self._connection.execute(query)}

    def buried(self, kind: str, ids: Collection[str]) -> set[str]:
        """Those of `ids` that were erased; `kind` is event or response."""
        c = tombstones.c
        query = select(c.item_id).where(c.kind == kind)
        return {row["item_id"] for row in self._by_ids(query, c.item_id, ids)}

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

    def _by_ids(self, query: Select[Any], column: Column[str], ids: Collection[str]) -> Iterator[RowMapping]:
        """Rows of this project whose `column` is one of `ids`, in the order of the ids' lists."""
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), _PER_QUERY):
            some = query.where(column.table.c.project == self._project, column.in_(wanted[start : start + _PER_QUERY]))
            yield from self._connection.execute(some).mappings()

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


def _event_ids(packed: bytes) -> frozenset[str]:
    starts = range(0, len(packed), _ID_BYTES)
    return frozenset(str(uuid.UUID(bytes=packed[start : start + _ID_BYTES])) for start in starts)


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
            experiment=interaction.experiment,
            arm=interaction.arm,
            propensity=interaction.propensity,
        )
