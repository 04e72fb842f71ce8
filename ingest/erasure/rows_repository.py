"""SQL that finds and deletes a person's rows, wherever the schema keeps them."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Column, Connection, Delete, String, Table, and_, bindparam, delete, func, select, text

from infra.db import upsert_many
from infra.db.tables import dead_letters, feedback_events, interactions, labels, pairs, shadow_labels
from ingest.erasure.places import INSTANTS, answer_tables, personal_tables
from ingest.log_repository import _LOCK_BUCKETS, _LOCK_SPACE

_LETTERS_AT_ONCE = 500
_CHUNK = 5000


class EventIds(NamedTuple):
    """An event of the person or about one of their answers, as far as erasing needs it."""

    event_id: str
    response_id: str
    other_response_id: str | None
    received_at: float


_EVENT_IDS = tuple(feedback_events.columns[name] for name in EventIds._fields)


class RowsRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._sqlite = connection.dialect.name == "sqlite"

    def prepare(self) -> None:
        """Keep every consumer out until the commit, and have SQLite overwrite what is deleted.

        SQLite has one writer anyway. On PostgreSQL a consumer may be in the middle of inserting what is being erased:
        taking all its advisory locks waits for it, and what starts afterwards sees the tombstones.
        """
        if self._sqlite:
            self._connection.exec_driver_sql("PRAGMA secure_delete = ON")
            return
        self._connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, bucket) FROM generate_series(0, :last) AS bucket"),
            {"space": _LOCK_SPACE, "last": _LOCK_BUCKETS - 1},
        ).all()

    def keys(self) -> set[str]:
        """Every user key of the project, in whatever table. Reads every personal table: for rare use."""
        found: set[str] = set()
        for table, column in personal_tables():
            rows = self._connection.execute(
                select(column).distinct().where(table.columns.project == self._project, column.is_not(None))
            )
            found.update(rows.scalars())
        return found

    def responses_of(self, keys: Collection[str], before: float) -> set[str]:
        """Responses these people asked for, up to the instant `before`."""
        columns = interactions.columns
        return set(
            self._connection.execute(
                select(columns.response_id).where(
                    columns.project == self._project, columns.user_key.in_(keys), columns.created_at <= before
                )
            ).scalars()
        )

    def events_of(self, keys: Collection[str], before: float) -> list[EventIds]:
        """Events these people sent, received up to the instant `before`."""
        columns = feedback_events.columns
        rows = self._connection.execute(
            select(*_EVENT_IDS).where(
                columns.project == self._project, columns.user_key.in_(keys), columns.received_at <= before
            )
        )
        return [EventIds._make(row) for row in rows]

    def events_about(self, responses: Collection[str]) -> list[EventIds]:
        """Events that name one of these responses, whoever sent them."""
        columns = feedback_events.columns
        found: dict[str, EventIds] = {}
        for column in (columns.response_id, columns.other_response_id):
            for row in self._by_ids(select(*_EVENT_IDS), column, responses):
                found[row.event_id] = EventIds._make(row)
        return list(found.values())

    def events_by_id(self, event_ids: Collection[str]) -> list[EventIds]:
        """Those of these events that are in the ledger."""
        columns = feedback_events.columns
        return [EventIds._make(row) for row in self._by_ids(select(*_EVENT_IDS), columns.event_id, event_ids)]

    def edits(self, event_ids: Collection[str]) -> list[tuple[str, str]]:
        """(response, text) of those of these events that are edits whose text is still there."""
        columns = feedback_events.columns
        query = select(columns.response_id, columns.text).where(columns.signal == "edit", columns.text.is_not(None))
        return [(row.response_id, row.text) for row in self._by_ids(query, columns.event_id, event_ids)]

    def payloads(self, responses: Collection[str]) -> Iterator[bytes]:
        """The msgpack documents of these interactions."""
        columns = interactions.columns
        for row in self._by_ids(select(columns.payload), columns.response_id, responses):
            yield bytes(row.payload)

    def answered_at(self, responses: Collection[str]) -> list[float]:
        """When these responses were made, as far as they are known."""
        columns = interactions.columns
        return [row.created_at for row in self._by_ids(select(columns.created_at), columns.response_id, responses)]

    def learnable_at(self, responses: Collection[str]) -> list[float]:
        """When the labels and pairs of these responses were made: from then on something could learn from them."""
        first, second = pairs.columns.preferred_response_id, pairs.columns.other_response_id
        asked = ((labels.columns.made_at, labels.columns.response_id), (pairs.columns.made_at, first))
        return [
            row.made_at
            for made, column in (*asked, (pairs.columns.made_at, second))
            for row in self._by_ids(select(made), column, responses)
        ]

    def delete_people(self, keys: Collection[str], before: float) -> dict[str, int]:
        """Delete these people's rows everywhere; rows by table."""
        counts: dict[str, int] = {}
        for table, column in personal_tables():
            doomed = and_(table.columns.project == self._project, column.in_(keys))
            if table.name in INSTANTS:
                doomed = and_(doomed, table.columns[INSTANTS[table.name]] <= before)
            counts[table.name] = self._connection.execute(delete(table).where(doomed)).rowcount
        return counts

    def delete_about(self, responses: Collection[str]) -> dict[str, int]:
        """Delete whatever names these responses; rows by table."""
        counts: dict[str, int] = {}
        for table, columns in answer_tables():
            counts[table.name] = sum(self._delete_by_ids(table, column, responses) for column in columns)
        return counts

    def delete_events(self, event_ids: Collection[str]) -> dict[str, int]:
        """Delete these events and the pairs that they alone stood for; rows by table."""
        return {
            "feedback_events": self._delete_by_ids(feedback_events, feedback_events.columns.event_id, event_ids),
            "pairs": self._delete_by_ids(pairs, pairs.columns.pair_id, event_ids),
        }

    def blank_labels(self, responses: Collection[str]) -> dict[str, int]:
        """Take out what these responses' labels say; rows by what was done to them.

        Provisional labels and those of candidate specifications go. Final versions keep their number, so that the next
        one has a higher one, and say nothing any more: every value None, every weight 0.
        """
        columns = labels.columns
        rows = self._by_ids(select(labels).where(columns.version > 0), columns.response_id, responses)
        finals = [row._asdict() for row in rows]
        for row in finals:
            row["objective_values"] = dict.fromkeys(row["objective_values"])
            row["weights"] = dict.fromkeys(row["weights"], 0.0)
            row["events_counted"] = 0
        names = tuple(column.name for column in columns)
        upsert_many(self._connection, labels, names, [tuple(row[name] for name in names) for row in finals])
        provisional = delete(labels).where(columns.version == 0)
        return {
            "labels": self._delete_by_ids(labels, columns.response_id, responses, provisional),
            "shadow_labels": self._delete_by_ids(shadow_labels, shadow_labels.columns.response_id, responses),
            "labels_blanked": len(finals),
        }

    def letters(self) -> Iterator[tuple[str, bytes]]:
        """Id and bytes of every dead letter that may be this project's: its own, and those nobody can place."""
        columns = dead_letters.columns
        last = ""
        while True:
            rows = self._connection.execute(
                select(columns.letter_id, columns.raw)
                .where(columns.letter_id > last, columns.project.in_([self._project, ""]))
                .order_by(columns.letter_id)
                .limit(_LETTERS_AT_ONCE)
            ).all()
            yield from ((row.letter_id, bytes(row.raw)) for row in rows)
            if len(rows) < _LETTERS_AT_ONCE:
                return
            last = rows[-1].letter_id

    def delete_letters(self, letter_ids: Collection[str]) -> int:
        """Delete these dead letters."""
        columns = dead_letters.columns
        total = 0
        for some in _chunks(letter_ids):
            total += self._connection.execute(
                delete(dead_letters).where(columns.letter_id.in_(bindparam("ids", some, expanding=True)))
            ).rowcount
        return total

    def _by_ids(self, statement: Any, column: Column[str], ids: Collection[str]) -> Iterator[Any]:
        for some in _chunks(ids):
            yield from self._connection.execute(
                statement.where(column.table.columns.project == self._project, self._among(column)),
                {"ids": self._list(some)},
            )

    def _delete_by_ids(
        self, table: Table, column: Column[str], ids: Collection[str], chosen: Delete | None = None
    ) -> int:
        statement = (delete(table) if chosen is None else chosen).where(
            table.columns.project == self._project, self._among(column)
        )
        return sum(self._connection.execute(statement, {"ids": self._list(some)}).rowcount for some in _chunks(ids))

    def _among(self, column: Column[str]) -> Any:
        """One parameter for the whole list: json_each on SQLite, an array on PostgreSQL."""
        if self._sqlite:
            return column.in_(select(func.json_each(bindparam("ids")).table_valued("value").columns.value))
        return column == func.any(bindparam("ids", type_=ARRAY(String)))

    def _list(self, ids: list[str]) -> str | list[str]:
        return json.dumps(ids) if self._sqlite else ids


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _CHUNK):
        yield wanted[start : start + _CHUNK]
