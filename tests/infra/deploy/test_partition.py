"""The store in partitions by time: the same rows and labels as without, and old months go at once."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings.infrastructure import StoreSettings
from plaudit.keeping.backup import back_up
from plaudit.keeping.restore import RestoreRefused, restore
from tests.infra.deploy.files import DEPLOY
from tests.ingest.erasure.town import drain, everything, live, send

if TYPE_CHECKING:
    from infra.settings import Settings

SCRIPT = (DEPLOY / "postgres" / "partition.sql").read_text()
PARTITIONED = ("interactions", "labels", "feedback_events")


def partition(database: Database, since: datetime.date, months: int) -> int:
    with database.transaction() as connection:
        connection.exec_driver_sql(SCRIPT.replace("%", "%%"))
        made = connection.execute(
            text("SELECT plaudit_partitions(:since, :months)"), {"since": since, "months": months}
        )
        return int(made.scalar_one())


def rows(database: Database) -> dict[str, list[Any]]:
    with database.reading() as connection:
        return everything(connection)


@pytest.mark.postgres
def test_partitions_hold_what_plain_tables_hold(
    postgres_database: Database, sqlite_database: Database, settings: "Settings", clock: ManualClock, tmp_path: Path
) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    last_month = (today.replace(day=1) - datetime.timedelta(days=1)).replace(day=1)
    assert partition(postgres_database, last_month, 3) == 9
    assert partition(postgres_database, last_month, 4) == 3, "a second run makes what is missing"
    event_log = open_event_log(settings, clock)
    events = live(Context(settings, clock, postgres_database, event_log))
    plain = Context(settings, clock, sqlite_database, event_log)
    drain(plain)
    send(plain, events)  # again: everything is there already
    drain(plain)
    drain(Context(settings, clock, postgres_database, event_log))
    event_log.close()
    expected, found = rows(sqlite_database), rows(postgres_database)
    for name in (*PARTITIONED, "pairs", "dead_letters"):
        assert found[name] == expected[name], name

    month = today.strftime("%Y%m")
    with postgres_database.transaction() as connection:
        for name in PARTITIONED:
            inside = connection.exec_driver_sql(f"SELECT count(*) FROM {name}_{month}").scalar_one()
            assert inside == len(expected[name]) > 0, name
        plan = connection.exec_driver_sql(
            "EXPLAIN SELECT * FROM interactions WHERE project = 'default' AND response_id = "
            f"'{expected['interactions'][0][1]}'"
        ).scalars()
        touched = "\n".join(plan)
        assert f"interactions_{month}" in touched
        assert "interactions_other" not in touched, "an id says which partition"
        assert connection.exec_driver_sql(f"SELECT plaudit_drop_before('{today}')").scalar_one() == 3
    assert rows(postgres_database)["labels"] == expected["labels"]
    with postgres_database.transaction() as connection:
        later = today + datetime.timedelta(days=40)
        connection.exec_driver_sql(f"SELECT plaudit_drop_before('{later}')")
    assert [rows(postgres_database)[name] for name in PARTITIONED] == [[], [], []]


@pytest.mark.full
@pytest.mark.postgres
def test_a_backup_is_restored_into_partitions(
    postgres_database: Database, sqlite_database: Database, settings: "Settings", clock: ManualClock, tmp_path: Path
) -> None:
    """How a store that was not partitioned becomes one that is."""
    old = settings.model_copy(update={"store": StoreSettings(url=sqlite_database.url)})
    event_log = open_event_log(settings, clock)
    live(Context(old, clock, sqlite_database, event_log))
    event_log.close()
    back_up(old, tmp_path / "backup", lambda _what, _bytes: None)
    partition(postgres_database, datetime.datetime.now(datetime.UTC).date(), 1)
    new = settings.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings(url=postgres_database.url)})
    restore(new, tmp_path / "backup", lambda _what, _bytes: None)
    expected, found = rows(sqlite_database), rows(postgres_database)
    for name in PARTITIONED:
        assert found[name] == expected[name], name
    with pytest.raises(RestoreRefused, match="holds a store"):
        restore(
            new.model_copy(update={"data_dir": tmp_path / "third"}), tmp_path / "backup", lambda _what, _bytes: None
        )


@pytest.mark.full
@pytest.mark.postgres
def test_a_store_with_rows_is_refused(postgres_database: Database, settings: "Settings", clock: ManualClock) -> None:
    event_log = open_event_log(settings, clock)
    live(Context(settings, clock, postgres_database, event_log))
    event_log.close()
    with pytest.raises(Exception, match="holds rows"):
        partition(postgres_database, datetime.date(2026, 1, 1), 1)
    assert len(rows(postgres_database)["interactions"]) == 5
