"""The store as one object: units of work that commit once, and read-only snapshots."""

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra.contracts.errors import PlauditError
from infra.db.engines import BUSY_TIMEOUT_SECONDS, make_engines, parse_url
from infra.metrics.catalogue import TRANSACTION_DURATION

Dialect = Literal["sqlite", "postgresql"]

_opened: "weakref.WeakSet[Database]" = weakref.WeakSet()


class StoreUnavailable(PlauditError):
    """The store cannot be reached or stays locked; nothing was written."""

    code = "store_unavailable"
    status = 503


class NestedTransaction(PlauditError):
    """A unit of work was begun inside another one of the same thread."""

    code = "nested_transaction"


class Database:
    """One store, safe to share between threads. Open one a process and close it at the end.

    A connection handed out by `transaction` or `reading` belongs to the thread that asked for it.
    """

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self.url: str = parsed.render_as_string(hide_password=False)
        self.safe_url: str = parsed.render_as_string(hide_password=True)
        self.dialect: Dialect = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql"
        self._writer, self._reader = make_engines(parsed)
        self._open_units = threading.local()
        # SQLite has one writer at a time. Threads of one process queue here, fairly, instead of polling the file lock.
        self._write_lock = threading.Lock() if self.dialect == "sqlite" else None
        _opened.add(self)

    @classmethod
    def open(cls, url: str) -> "Database":
        """A database by SQLAlchemy URL. Connects lazily. Raises InvalidStoreUrl."""
        return cls(url)

    @property
    def engine(self) -> Engine:
        """The engine of write transactions: for migrations and tools, not for rooms."""
        return self._writer

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A unit of work: committed once when the block ends, rolled back when it raises.

        Raises NestedTransaction inside another one of the same thread (pass the connection down instead), and
        StoreUnavailable when the store does not answer, or SQLite's write lock is not free within thirty seconds.
        """
        if getattr(self._open_units, "value", False):
            raise NestedTransaction(
                "a transaction is already open in this thread; pass its connection down instead of opening another: "
                "there is one commit, at the boundary"
            )
        started = time.perf_counter()
        outcome = "rollback"
        self._acquire_write_lock()
        self._open_units.value = True
        try:
            with self._began(self._writer) as connection:
                yield connection
            outcome = "commit"
        finally:
            self._open_units.value = False
            if self._write_lock is not None:
                self._write_lock.release()
            TRANSACTION_DURATION.labels(outcome=outcome).observe(time.perf_counter() - started)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only connection that sees one consistent snapshot; whatever it tries to write fails.

        Raises StoreUnavailable when the store does not answer.
        """
        with self._began(self._reader) as connection:
            yield connection

    def healthy(self) -> str | None:
        """None when the store answers, else what is wrong and where."""
        try:
            with self.reading() as connection:
                connection.execute(text("SELECT 1"))
        except StoreUnavailable as error:
            return error.message
        except SQLAlchemyError as error:
            return f"store {self.safe_url} answers with an error: {_first_line(error)}"
        return None

    def close(self) -> None:
        """Close every idle connection."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def _began(self, engine: Engine) -> Iterator[Connection]:
        """A transaction of `engine`. Only its beginning is translated: later errors belong to the statement."""
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(engine.begin())
            except (OperationalError, PoolTimeout) as error:
                raise StoreUnavailable(
                    f"store {self.safe_url} cannot be used: {_first_line(error)}; check store.url, "
                    "that the server runs, and that no other program keeps the store locked"
                ) from error
            yield connection

    def _acquire_write_lock(self) -> None:
        if self._write_lock is not None and not self._write_lock.acquire(timeout=BUSY_TIMEOUT_SECONDS):
            raise StoreUnavailable(
                f"store {self.safe_url} has been written by another thread for {BUSY_TIMEOUT_SECONDS:.0f} s; try again"
            )

    def _forget_connections(self) -> None:
        """A forked child must not use its parent's connections, nor close them."""
        self._writer.dispose(close=False)
        self._reader.dispose(close=False)
        if self._write_lock is not None:
            self._write_lock = threading.Lock()
        self._open_units = threading.local()


def _first_line(error: SQLAlchemyError) -> str:
    return str(error).splitlines()[0]


def _after_fork() -> None:
    for database in list(_opened):
        database._forget_connections()


os.register_at_fork(after_in_child=_after_fork)
