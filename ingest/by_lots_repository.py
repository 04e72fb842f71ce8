"""SQL of lots of feedback on SQLite: rows by column, numbered upwards."""

from infra.db import insert_ignore_columns, insert_ignore_many
from infra.db.tables.feedback import feedback_events
from ingest.by_ids_repository import ByIdsRepository
from ingest.lots import Lot
from ingest.rows import (
    CHOICE,
    LEDGER_COLUMNS,
    OPERATION,
    OTHER,
    OTHER_CHOICE,
    ROW_FIELDS,
    SOLICITED,
    TEXT,
)

_USUAL = {CHOICE: 0, OPERATION: "set", TEXT: None, OTHER: None, OTHER_CHOICE: 0, SOLICITED: None}
"""What most rows have in common; they leave it out or say it once."""
_SHARED = {ROW_FIELDS[place]: value for place, value in _USUAL.items() if value is not None}
_DIFFER = tuple((place, name) for place, name in enumerate(ROW_FIELDS) if place not in _USUAL)
_ABSENT = {"value": -1.0, "user_key": "", "device": ""}
"""No row has these: they stand for NULL on the way (`insert_ignore_columns`)."""


class LotRepository(ByIdsRepository):
    """The ledger of one project, in one transaction of SQLite."""

    def insert(self, lot: Lot) -> tuple[int, bool]:
        """Add the rows to the ledger; one whose id is there stays as it is. Returns (how many were new, whether they
        went in in their order: unusual rows go last)."""
        odd = _odd(lot)
        if 4 * len(odd) > len(lot.rows):
            return self.insert_each(lot), True
        columns = {name: lot.columns[place] for place, name in _DIFFER}
        columns["received_at"] = lot.received_at  # type: ignore[assignment]
        if odd:
            columns = {name: _without(column, odd) for name, column in columns.items()}
        shared = {**_SHARED, "project": lot.project, "source": lot.source}
        usual = insert_ignore_columns(self._connection, feedback_events, columns, absent=_ABSENT, shared=shared)
        return usual + (self.insert_each(lot.picked(odd)) if odd else 0), not odd

    def insert_each(self, lot: Lot) -> int:
        """The same, whatever the rows hold, in their order."""
        return insert_ignore_many(self._connection, feedback_events, LEDGER_COLUMNS, lot.ledger_rows())

    def last_row(self) -> int:
        """The number of the newest row. SQLite numbers rows upwards from the last one."""
        return int(self._connection.exec_driver_sql("SELECT max(rowid) FROM feedback_events").scalar() or 0)

    def added_after(self, row: int) -> set[str]:
        """Ids of the events behind this row: those that this transaction added since `last_row` said so."""
        result = self._connection.exec_driver_sql("SELECT event_id FROM feedback_events WHERE rowid > ?", (row,))
        return {found[0] for found in result.cursor.fetchall()}

    def remove_after(self, row: int) -> None:
        """Take them out again."""
        self._connection.exec_driver_sql("DELETE FROM feedback_events WHERE rowid > ?", (row,))


def _odd(lot: Lot) -> list[int]:
    """Indexes of rows that are not as most."""
    count = len(lot.rows)
    return sorted(
        {
            index
            for place, usual in _USUAL.items()
            if lot.columns[place].count(usual) < count
            for index, value in enumerate(lot.columns[place])
            if value != usual
        }
    )


def _without(column: "tuple[object, ...] | list[object]", indexes: list[int]) -> tuple[object, ...]:
    """A column without some of its places."""
    values = list(column)
    for index in reversed(indexes):
        del values[index]
    return tuple(values)
