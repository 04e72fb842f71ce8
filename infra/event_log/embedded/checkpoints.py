"""Checkpoints beside the appends: what commits wrote to the write-ahead log goes into the file in a thread of its own.

SQLite does this by itself at the end of a commit, every few thousand pages: all answers that wait for that commit would
wait for tens of megabytes to be written and flushed. Often and little, beside the commits, nobody waits for it.
"""

import sqlite3
import threading
from pathlib import Path

import structlog

from infra.event_log.embedded.storage import connect

EVERY_COMMITS = 128
"""A commit of one answer writes two pages of 8 KiB or three, and the next one mostly the same: half a megabyte in all.
A flush of so much holds up the flush of a commit beside it for a millisecond or two."""
EVERY_BYTES = 4 * 1024 * 1024
LONG_PAGES = 4000
"""With a write-ahead log longer than this its end is written by who appends, for then it can begin anew."""
LONGEST_PAGES = 16_000
"""At this length a commit writes everything itself, should this thread not come to it."""
FINISHED_WITHIN_SECONDS = 1.0
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"

_log = structlog.get_logger(__name__)


class Checkpoints:
    """One a writer. `count` and `finish` belong to the writer's thread."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._commits = self._bytes = 0
        self._due = threading.Event()
        self._finished = threading.Event()
        self._long = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="event-log-checkpoints", daemon=True)
        self._thread.start()

    def count(self, size: int) -> None:
        """There was another commit, of records of `size` bytes."""
        self._commits += 1
        self._bytes += size
        if self._commits >= EVERY_COMMITS or self._bytes >= EVERY_BYTES:
            self._commits = self._bytes = 0
            self._due.set()

    def finish(self, connection: sqlite3.Connection) -> None:
        """Write what came while the thread wrote, if the write-ahead log has grown long: between two commits there is
        nothing newer, so that the next one begins it anew. Readers that are at work put it off."""
        if self._long:
            self._long = False
            try:
                connection.execute(CHECKPOINT)
            finally:
                self._finished.set()

    def close(self) -> None:
        """Stop; a checkpoint that runs is finished."""
        self._closing = True
        self._due.set()
        self._finished.set()
        self._thread.join()

    def _leave_the_rest(self) -> None:
        """To who appends. Two checkpoints at once get in each other's way, so this one waits, unless nobody appends."""
        self._finished.clear()
        self._long = True
        self._finished.wait(FINISHED_WITHIN_SECONDS)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._due.wait() and not self._closing:
            self._due.clear()
            try:
                if connection is None:
                    connection = connect(self._path, busy_seconds=self._busy_seconds, durable=True)
                _busy, pages, written = connection.execute(CHECKPOINT).fetchone()
                if pages > LONG_PAGES and written < pages:
                    self._leave_the_rest()
            except sqlite3.Error as error:  # appends go on; see LONGEST_PAGES
                _log.warning("event_log_checkpoint_failed", path=str(self._path), error=str(error))
        if connection is not None:
            connection.close()
