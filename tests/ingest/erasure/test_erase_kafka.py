"""An erasure where the log is a Kafka broker: records stay there, and never count again."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from infra.contracts import ManualClock
from infra.db.tables import consumer_offsets
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings
from ingest.erasure.service import erase
from tests.ingest.erasure.town import ANNA, drain, everything, live, names_of, tables_holding

if TYPE_CHECKING:
    from infra.db import Database


@pytest.fixture
def kafka_context(
    settings: Settings, clock: ManualClock, sqlite_database: "Database", kafka_bootstrap: str
) -> Iterator[Context]:
    log_settings = EventLogSettings(
        kind="kafka",
        bootstrap_servers=kafka_bootstrap,
        topic_prefix=f"erase-{uuid.uuid4().hex[:8]}",
        partitions=2,
        replication_factor=1,
        session_timeout_seconds=1.0,
    )
    settings = settings.model_copy(update={"event_log": log_settings})
    event_log = open_event_log(settings, clock)
    yield Context(settings, clock, sqlite_database, event_log)
    event_log.close()


@pytest.mark.broker
def test_a_broker_keeps_its_records_and_nothing_of_the_person_comes_back(kafka_context: Context) -> None:
    context = kafka_context
    live(context)
    receipt = erase(context, user=ANNA, actor="test")
    assert receipt["files_not_clean"] == []
    assert any("Kafka" in said for said in receipt["remains"])
    with context.database.reading() as connection:
        expected = {name: len(rows) for name, rows in everything(connection).items()}
    with context.database.transaction() as connection:
        connection.execute(delete(consumer_offsets))
        for name in ("tombstones", "erased_people", "erasures"):  # as in a store restored from before
            connection.exec_driver_sql(f"DELETE FROM {name}")
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
        found = {name: len(rows) for name, rows in everything(connection).items()}
    assert {**found, "consumer_offsets": 0} == {**expected, "consumer_offsets": 0}
