"""Engines of SQLite: what a new file needs when several open it at once."""

from sqlite3 import OperationalError

import pytest

from infra.db.engines import _into_wal


def test_a_new_file_that_another_connection_turns_into_wal_is_tried_again() -> None:
    class Contended:
        """Locked twice, as SQLite says at once while another connection changes the journal mode."""

        tries = 0

        def execute(self, _statement: str) -> None:
            self.tries += 1
            if self.tries < 3:
                raise OperationalError("database is locked")

    cursor = Contended()
    _into_wal(cursor)  # type: ignore[arg-type]
    assert cursor.tries == 3

    class Broken:
        def execute(self, _statement: str) -> None:
            raise OperationalError("disk I/O error")

    with pytest.raises(OperationalError, match="disk"):
        _into_wal(Broken())  # type: ignore[arg-type]
