"""Every table of the store is known to the erasure: it holds people's rows, rows about answers, or neither, and why."""

from sqlalchemy import String

from infra.db.tables import metadata
from ingest.erasure.places import IMPERSONAL, INSTANTS, PERSON_COLUMN, answer_tables, personal_tables


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
