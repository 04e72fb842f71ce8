"""Every table of the store is known to the erasure: it holds people's rows, rows about answers, or neither, and why."""

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import JSON, Double, Integer, LargeBinary, String, Table, insert, select

from infra.contracts import Interaction
from infra.db.tables import metadata
from ingest.erasure.forgetting import Whom, forget
from ingest.erasure.places import IMPERSONAL, INSTANTS, PERSON_COLUMN, answer_tables, personal_tables
from ingest.labels import Labelling

if TYPE_CHECKING:
    from infra.runtime import Context

ANNA, BERT = "a" * 32, "b" * 32
NOW = 1_700_000_000.0


def test_a_row_in_any_personal_table_goes_and_the_neighbour_s_stays(context: "Context") -> None:
    with context.database.transaction() as connection:
        for table, column in personal_tables():
            for person in (ANNA, BERT):
                connection.execute(insert(table).values(**any_row(table, person), **{column.name: person}))
    whom = Whom("e1", "default", NOW, frozenset({ANNA}))
    with context.database.transaction() as connection:
        forget(connection, whom, Labelling.of(context.settings.ingest), NOW)
    with context.database.reading() as connection:
        for table, column in personal_tables():
            assert list(connection.execute(select(column)).scalars()) == [BERT], table.name


def any_row(table: Table, person: str) -> dict[str, Any]:
    """Some value for every column but the person's; keys differ from person to person."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name == PERSON_COLUMN or (column.nullable and not column.primary_key):
            continue
        kind = column.type
        if column.name == "project":
            row[column.name] = "default"
        elif isinstance(kind, JSON):
            row[column.name] = {}
        elif isinstance(kind, Integer):
            row[column.name] = 0
        elif isinstance(kind, Double):
            row[column.name] = NOW - 10.0
        elif isinstance(kind, LargeBinary):
            row[column.name] = EMPTY if column.name == "payload" else b"x" * 16
        else:
            row[column.name] = f"{column.name[:20]}-{person[:1]}"[: kind.length or 30]  # type: ignore[attr-defined]
    return row


EMPTY = msgspec.msgpack.encode(
    Interaction(project="default", response_id="r", conversation_id="c", created_at=NOW, messages=(), answers=())
)


def test_every_table_is_covered_or_says_why_not() -> None:
    covered = {table.name for table, _ in personal_tables()} | {table.name for table, _ in answer_tables()}
    unknown = set(metadata.tables) - covered - set(IMPERSONAL)
    assert unknown == set(), "name the person's column `user_key`, or write into IMPERSONAL why it holds nobody's rows"
    assert set(IMPERSONAL) & covered == set()
    assert set(IMPERSONAL) <= set(metadata.tables), "tables that are gone"


def test_covered_tables_have_what_the_erasure_asks_of_them() -> None:
    for table, column in personal_tables():
        assert isinstance(column.type, String)
        assert column.name == PERSON_COLUMN
        assert "project" in table.columns, table.name
    for table, columns in answer_tables():
        assert columns
        assert "project" in table.columns, table.name
    for name, column_name in INSTANTS.items():
        assert column_name in metadata.tables[name].columns
