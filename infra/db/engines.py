"""Engines: how a connection to SQLite or PostgreSQL is made, and what every one of them promises.

SQLite: WAL (readers never wait for the writer), `synchronous=FULL` (a commit is on disk when it returns), foreign keys
on, thirty seconds of patience for a lock, and write transactions that take the write lock at once (BEGIN IMMEDIATE):
a transaction that reads first and writes later can otherwise fail in the middle with "database is locked".
"""

import time
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import Cursor, OperationalError
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from infra.contracts.errors import PlauditError

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a writer waits for another one before it fails."""

_POOL: dict[str, Any] = {"pool_size": 8, "max_overflow": 24, "pool_timeout": BUSY_TIMEOUT_SECONDS}


class InvalidStoreUrl(PlauditError):
    """`store.url` names no database that Plaudit can use."""

    code = "invalid_store_url"


def parse_url(url: str) -> URL:
    """Check a store URL and name its driver. Raises InvalidStoreUrl."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidStoreUrl(
            f"store.url = {url!r} is not a URL; write sqlite:////folder/store.sqlite3 or "
            "postgresql+psycopg://user:password@host:5432/database",
            field="store.url",
        ) from error
    backend = parsed.get_backend_name()
    shown = parsed.render_as_string(hide_password=True)
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidStoreUrl(f"store.url = {shown!r}: only sqlite and postgresql are supported", field="store.url")
    if parsed.database in (None, "", ":memory:"):
        raise InvalidStoreUrl(
            f"store.url = {shown!r} lives in memory, which connections cannot share; name a file: sqlite:////folder/store.sqlite3",
            field="store.url",
        )
    return parsed.set(drivername="sqlite")


def make_engines(url: URL) -> tuple[Engine, Engine]:
    """(engine of write transactions, engine of read-only snapshots) for a parsed URL."""
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        return _sqlite_engine(url, read_only=False), _sqlite_engine(url, read_only=True)
    writer = create_engine(url, pool_pre_ping=True, **_POOL)
    # Both views share one pool; a snapshot is REPEATABLE READ, as it is on SQLite by nature.
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writer, reader


def _into_wal(cursor: Cursor) -> None:
    """Journal mode WAL. A new file is turned into it by one connection alone, and SQLite tells the others that it is
    locked at once, whatever their patience: they try again. Raises OperationalError after `BUSY_TIMEOUT_SECONDS`."""
    until = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _sqlite_engine(url: URL, *, read_only: bool) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False}, **_POOL)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def prepare(connection: SQLiteConnection, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions on its own: `begin` below does
        cursor = connection.cursor()
        # Of a new file: fewer, larger pages are cheaper to find, to copy into the WAL and to checkpoint.
        cursor.execute("PRAGMA page_size=8192")
        _into_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        # KiB. The writer holds what the hot path touches: the ends of the indexes, the labels of open windows.
        cursor.execute(f"PRAGMA cache_size={-16384 if read_only else -65536}")
        # Pages (32 MiB): labels of recent answers change often, and are copied into the file once for many changes.
        cursor.execute("PRAGMA wal_autocheckpoint=4096")
        cursor.execute("PRAGMA journal_size_limit=67108864")  # the WAL file shrinks back to 64 MiB after a long write
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
