import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.exc import DataError

from infra.db import Database, insert_ignore, insert_ignore_many, upsert, upsert_many
from infra.db.statements import COPY_ROWS
from infra.db.tables import config_snapshots, dead_letters, leases

COLUMNS = ("project", "name", "holder", "expires_at")


def _holders(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        return {row.name: row.holder for row in connection.execute(select(leases.c.name, leases.c.holder))}


def test_insert_ignore_keeps_what_is_there(database: Database) -> None:
    rows = [
        {"project": "p", "name": "a", "holder": "first", "expires_at": 1.0},
        {"project": "p", "name": "a", "holder": "second", "expires_at": 2.0},
    ]
    with database.transaction() as connection:
        connection.execute(insert_ignore(leases, database.dialect), rows)
    assert _holders(database) == {"a": "first"}


def test_upsert_replaces_all_columns_but_the_keys(database: Database) -> None:
    with database.transaction() as connection:
        for holder in ("first", "second"):
            statement = upsert(leases, database.dialect).values(project="p", name="a", holder=holder, expires_at=1.0)
            connection.execute(statement)
    assert _holders(database) == {"a": "second"}


def test_upsert_touches_only_what_it_is_told(database: Database) -> None:
    with database.transaction() as connection:
        for holder, expires_at in (("first", 1.0), ("second", 2.0)):
            row = {"project": "p", "name": "a", "holder": holder, "expires_at": expires_at}
            connection.execute(upsert(leases, database.dialect, update=["expires_at"]), [row])
        assert connection.execute(select(leases.c.holder, leases.c.expires_at)).one() == ("first", 2.0)


def test_upsert_where_decides_on_the_row_that_is_there(database: Database) -> None:
    with database.transaction() as connection:
        for holder, expires_at in (("first", 5.0), ("older", 4.0), ("newer", 6.0)):
            row = {"project": "p", "name": "a", "holder": holder, "expires_at": expires_at}
            statement = upsert(leases, database.dialect, where=leases.c.expires_at < expires_at)
            connection.execute(statement.values(**row))
            if holder == "older":
                assert connection.execute(select(leases.c.holder)).scalar() == "first"
    assert _holders(database) == {"a": "newer"}


def test_many_counts_only_the_new(database: Database) -> None:
    first = [("p", f"n{i}", "first", 1.0) for i in range(10)]
    second = [("p", f"n{i}", "second", 1.0) for i in range(5, 25)]
    with database.transaction() as connection:
        assert insert_ignore_many(connection, leases, COLUMNS, first) == 10
        assert insert_ignore_many(connection, leases, COLUMNS, second) == 15
        assert insert_ignore_many(connection, leases, COLUMNS, []) == 0
    assert sum(holder == "first" for holder in _holders(database).values()) == 10


def test_many_writes_documents_and_reserved_names(database: Database) -> None:
    with database.transaction() as connection:
        columns = ("config_hash", "document", "first_seen_at")
        assert insert_ignore_many(connection, config_snapshots, columns, [("h", {"a": ["é", None]}, 1.0)]) == 1
        assert connection.execute(select(config_snapshots.c.document)).scalar() == {"a": ["é", None]}
        names = [column.name for column in dead_letters.columns]
        row = ("l", "p", "t", 0, 2**40, -1, b"\x00\xff", "conflict", "100 % sure", 2, 1.5, "open")
        assert insert_ignore_many(connection, dead_letters, names, [row]) == 1
        assert tuple(connection.execute(select(dead_letters)).one()) == row


@pytest.mark.parametrize("count", [1, COPY_ROWS - 1, COPY_ROWS, 4 * COPY_ROWS + 1])
def test_however_many_the_result_is_the_same(database: Database, count: int) -> None:
    """Below and above the bound at which PostgreSQL gets a COPY."""
    names = [column.name for column in dead_letters.columns]
    odd = "a\ttab, a\nline, \\N, 100 % and é"
    rows = [(f"l{i}", "p", "t", 0, i, -1, b"\x00\xff%d" % i, "conflict", odd, 2, i / 3, "open") for i in range(count)]
    with database.transaction() as connection:
        assert insert_ignore_many(connection, dead_letters, names, rows[::2]) == len(rows[::2])
        assert insert_ignore_many(connection, dead_letters, names, rows) == len(rows[1::2])
        found = connection.execute(select(dead_letters).order_by(dead_letters.c.log_offset)).all()
        assert [tuple(row) for row in found] == rows
        changed = [(*row[:-1], "dropped") for row in rows]
        assert upsert_many(connection, dead_letters, names, changed, update=["status"]) == count
        assert set(connection.execute(select(dead_letters.c.status)).scalars()) == {"dropped"}


@pytest.mark.parametrize("count", [1, COPY_ROWS, 4 * COPY_ROWS + 1])
def test_what_rows_share_is_in_each_of_them(database: Database, count: int) -> None:
    shared = {"project": "p", "expires_at": 4.0}
    rows = [(f"n{i}", f"h{i}") for i in range(count)]
    with database.transaction() as connection:
        assert insert_ignore_many(connection, leases, ("name", "holder"), rows, shared=shared) == count
        assert insert_ignore_many(connection, leases, ("name", "holder"), rows, shared=shared) == 0
        told = connection.execute(select(leases).order_by(leases.c.name)).all()
    assert told == sorted(("p", name, holder, 4.0) for name, holder in rows)


@pytest.mark.parametrize("word", ["plain", "it's", 'q"', "", "a;--", "é", "x" * 100])
def test_what_rows_share_may_be_any_text(database: Database, word: str) -> None:
    with database.transaction() as connection:
        shared, rows = {"project": "p", "holder": word}, [("a", 1.0), ("b", 2.0)]
        assert insert_ignore_many(connection, leases, ("name", "expires_at"), rows, shared=shared) == 2
    assert _holders(database) == {"a": word, "b": word}


def test_a_copy_leaves_nothing_for_the_next(postgres_database: Database) -> None:
    """Twice in one transaction, once in another one, and after one that was rolled back."""
    rows = [("p", f"n{i}", "first", 1.0) for i in range(COPY_ROWS)]
    more = [("p", f"m{i}", "first", 1.0) for i in range(COPY_ROWS)]

    def broken() -> None:
        with postgres_database.transaction() as connection:
            insert_ignore_many(connection, leases, COLUMNS, rows)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with postgres_database.transaction() as connection:
        assert insert_ignore_many(connection, leases, COLUMNS, rows) == COPY_ROWS
        assert insert_ignore_many(connection, leases, COLUMNS, more) == COPY_ROWS
    with postgres_database.transaction() as connection:
        assert upsert_many(connection, leases, COLUMNS, [(*row[:2], "second", 1.0) for row in rows]) == COPY_ROWS
    assert sorted(set(_holders(postgres_database).values())) == ["first", "second"]


def test_what_a_copy_refuses_is_told_in_the_classes_of_sqlalchemy(postgres_database: Database) -> None:
    """Callers tell failures that pass (OperationalError) from rows that are wrong (DataError) by these."""
    rows = [("p", f"n{i}", "a\0b", 1.0) for i in range(COPY_ROWS)]
    with pytest.raises(DataError), postgres_database.transaction() as connection:
        insert_ignore_many(connection, leases, COLUMNS, rows)


@pytest.mark.parametrize("count", [2, 4 * COPY_ROWS])
def test_of_several_rows_with_one_key_the_last_holds(database: Database, count: int) -> None:
    with database.transaction() as connection:
        upsert_many(connection, leases, COLUMNS, [("p", "a", f"h{i}", 1.0) for i in range(count)])
    assert _holders(database) == {"a": f"h{count - 1}"}


def test_json_that_is_text_already(database: Database) -> None:
    columns = ("config_hash", "document", "first_seen_at")
    rows = [(f"h{i}", '{"a":[1,null]}', 1.0) for i in range(COPY_ROWS)]
    with database.transaction() as connection:
        assert insert_ignore_many(connection, config_snapshots, columns, rows, json_encoded=True) == COPY_ROWS
        assert connection.execute(select(config_snapshots.c.document)).scalars().first() == {"a": [1, None]}


def test_upsert_many_writes_the_last(database: Database) -> None:
    with database.transaction() as connection:
        upsert_many(connection, leases, COLUMNS, [("p", "a", "first", 1.0), ("p", "b", "first", 1.0)])
        assert upsert_many(connection, leases, COLUMNS, [("p", "a", "second", 2.0)]) == 1
        upsert_many(connection, leases, COLUMNS, [("p", "b", "ignored", 9.0)], update=["expires_at"])
    assert _holders(database) == {"a": "second", "b": "first"}


def test_an_unknown_column_is_an_error(sqlite_database: Database) -> None:
    with pytest.raises(KeyError), sqlite_database.transaction() as connection:
        insert_ignore_many(connection, leases, ("nonsense",), [("x",)])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=5).filter(lambda t: "\x00" not in t)), max_size=20)
)
def test_many_is_a_dictionary_where_the_first_wins(sqlite_database: Database, rows: list[tuple[str, str]]) -> None:
    expected: dict[str, str] = {}
    for name, holder in rows:
        expected.setdefault(name, holder)
    with sqlite_database.transaction() as connection:
        connection.execute(delete(leases))
        new = insert_ignore_many(connection, leases, COLUMNS, [("p", name, holder, 0.0) for name, holder in rows])
    assert new == len(expected)
    assert _holders(sqlite_database) == expected
