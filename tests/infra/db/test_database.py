import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import DBAPIError

from infra.db import Database, InvalidStoreUrl, NestedTransaction, StoreUnavailable
from infra.db.tables import config_snapshots, leases


def _lease(name: str, expires_at: float = 0.0) -> dict[str, object]:
    return {"project": "p", "name": name, "holder": "h", "expires_at": expires_at}


def _names(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(leases.c.name).order_by(leases.c.name)).scalars())


def test_a_unit_of_work_commits_once_at_its_end(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(leases), [_lease("a"), _lease("b")])
        assert _names_in_another_thread(database) == []
    assert _names(database) == ["a", "b"]


def _names_in_another_thread(database: Database) -> list[str]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_names, database).result(timeout=10)


def test_an_exception_takes_everything_back(database: Database) -> None:
    def fail_half_way() -> None:
        with database.transaction() as connection:
            connection.execute(insert(leases), [_lease("a")])
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_half_way()
    assert _names(database) == []


def test_a_unit_of_work_inside_another_is_refused_and_harms_nothing(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(leases), [_lease("a")])
        with pytest.raises(NestedTransaction, match="pass its connection down"), database.transaction():
            pass
    assert _names(database) == ["a"]
    with database.transaction() as connection:
        connection.execute(insert(leases), [_lease("b")])
    assert _names(database) == ["a", "b"]


def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"), database.reading() as connection:
        connection.execute(insert(leases), [_lease("a")])
    with database.transaction() as connection:
        connection.execute(insert(leases), [_lease("b")])
    assert _names(database) == ["b"]


def test_reading_sees_one_snapshot(database: Database) -> None:
    count = select(func.count()).select_from(leases)
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 0
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_add, database, "a").result(timeout=10)
        assert connection.execute(count).scalar() == 0
    assert _names(database) == ["a"]


def _add(database: Database, name: str) -> None:
    with database.transaction() as connection:
        connection.execute(insert(leases), [_lease(name)])


def test_read_then_write_never_loses_an_update(sqlite_database: Database) -> None:
    """Without BEGIN IMMEDIATE, eight such threads end in "database is locked" or in lost increments."""
    _add(sqlite_database, "counter")
    other = Database.open(sqlite_database.url)  # its own write lock: as another process would contend

    def increment(store: Database) -> None:
        for _ in range(20):
            with store.transaction() as connection:
                value = connection.execute(select(leases.c.expires_at)).scalar_one()
                connection.execute(update(leases).values(expires_at=value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, [sqlite_database, other] * 4))
    with sqlite_database.reading() as connection:
        assert connection.execute(select(leases.c.expires_at)).scalar_one() == 160
    other.close()


def test_sqlite_promises(sqlite_database: Database) -> None:
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    for view in (sqlite_database.transaction, sqlite_database.reading):
        with view() as connection:
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
        assert found == expected


def test_a_transaction_takes_the_write_lock_at_once(sqlite_database: Database) -> None:
    other = Database.open(sqlite_database.url)
    order = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(60)
        with other.transaction():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with sqlite_database.transaction():
        inside.set()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    other.close()


def test_a_killed_writer_leaves_committed_rows_and_no_half(sqlite_database: Database) -> None:
    program = """
import os, sys
from sqlalchemy import insert
from infra.db import Database
from infra.db.tables import leases
database = Database.open(sys.argv[1])
row = {"project": "p", "holder": "h", "expires_at": 0.0}
with database.transaction() as connection:
    connection.execute(insert(leases), [{**row, "name": "kept"}])
with database.transaction() as connection:
    connection.execute(insert(leases), [{**row, "name": "lost"}])
    os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", program, sqlite_database.url], timeout=60, check=False)
    assert ended.returncode == -9
    assert _names(sqlite_database) == ["kept"]


def test_a_forked_child_uses_connections_of_its_own(database: Database) -> None:
    _add(database, "parent")
    child = os.fork()
    if child == 0:
        try:
            _add(database, "child")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    _add(database, "parent-again")
    assert _names(database) == ["child", "parent", "parent-again"]


def test_json_documents_come_back_as_they_were(database: Database) -> None:
    document = {"a": [1, 2.5, None, {"b": "é"}], "c": {}}
    with database.transaction() as connection:
        row = {"config_hash": "h", "document": document, "first_seen_at": 1.5}
        connection.execute(insert(config_snapshots), [row])
    with database.reading() as connection:
        assert connection.execute(select(config_snapshots.c.document)).scalar_one() == document


def test_healthy(database: Database) -> None:
    assert database.healthy() is None


def test_unhealthy_says_where_without_the_password() -> None:
    database = Database.open("postgresql://user:hidden@127.0.0.1:1/none")
    said = database.healthy()
    assert said is not None
    assert "127.0.0.1:1" in said
    assert "hidden" not in said
    database.close()


def test_a_store_that_is_locked_or_away_is_unavailable(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.db.engines.BUSY_TIMEOUT_SECONDS", 0.2)
    impatient = Database.open(sqlite_database.url)
    with sqlite_database.transaction(), ThreadPoolExecutor(1) as pool:
        error = pool.submit(_add, impatient, "a").exception(timeout=10)
    assert isinstance(error, StoreUnavailable)
    assert error.status == 503
    assert "database is locked" in str(error)
    _add(impatient, "b")
    impatient.close()
    away = Database.open("postgresql://user:hidden@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable, match=r"check store\.url"), away.transaction():
        pass
    away.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is not a URL"),
        ("mysql://host/name", "only sqlite and postgresql"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_bad_urls_name_the_setting_and_the_remedy(url: str, says: str) -> None:
    with pytest.raises(InvalidStoreUrl, match=says) as raised:
        Database.open(url)
    assert raised.value.field == "store.url"


def test_postgres_urls_get_the_installed_driver() -> None:
    database = Database.open("postgresql://user@host/name")
    assert database.url == "postgresql+psycopg://user@host/name"
    assert database.dialect == "postgresql"
    database.close()
