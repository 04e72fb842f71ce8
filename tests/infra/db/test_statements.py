import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from infra.db import Database, insert_ignore, insert_ignore_many, upsert, upsert_many
from infra.db.tables import config_snapshots, feedback_events, leases

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
        names = [column.name for column in feedback_events.columns]
        row = ("p", "e", "r", 0, "like", "set", None, "100 % sure", None, 0, None, 1.0, 2.0, "api", b"\x00\xff")
        assert insert_ignore_many(connection, feedback_events, names, [row]) == 1
        assert tuple(connection.execute(select(feedback_events)).one()) == row


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
