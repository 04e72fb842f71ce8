"""SIGKILL of a consumer in the middle of the stream: every event counts once, on the embedded log and on a broker."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from infra.contracts import uuid7
from infra.db.tables.feedback import consumer_offsets, dead_letters, feedback_events, labels, pairs
from infra.event_log import Record
from infra.runtime import Context, open_context
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings
from infra.settings.ingest import IngestSettings
from ingest.codec import FEEDBACK_CODEC
from ingest.topics import feedback_topic
from tests.fixtures.helpers import wait_until
from tests.ingest.builders import event

if TYPE_CHECKING:
    from infra.contracts import FeedbackEvent
    from tests.fixtures.forking import Forking

ANSWERS = 200
KILLS = {"embedded": 3, "kafka": 1}
"""A killed member of a Kafka group is missed only after the session timeout of six seconds."""


def settings_of(folder: Path, **event_log: object) -> Settings:
    return Settings(
        data_dir=folder,
        event_log=EventLogSettings(replication_factor=1, session_timeout_seconds=6.0, **event_log),  # type: ignore[arg-type]
        ingest=IngestSettings(consumer_batch_records=3, watermark_refresh_seconds=0.1, poll_seconds=0.05),
    )


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.broker)])
def real_context(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Context]:
    settings = settings_of(tmp_path / "data")
    if request.param == "kafka":
        servers = request.getfixturevalue("kafka_bootstrap")
        prefix = f"once-{uuid7().hex[-8:]}"
        settings = settings_of(tmp_path / "data", kind="kafka", bootstrap_servers=servers, topic_prefix=prefix)
    context = open_context(settings)
    yield context
    context.close()


def start_child(context: Context, parts: "Forking", output: Path) -> int:
    document = context.settings.model_dump_json()
    return parts.start((document,), dict(os.environ), output, "tests.ingest.consume_child")


def count(context: Context, table: object) -> int:
    with context.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)  # type: ignore[arg-type]


def stream() -> "list[list[FeedbackEvent]]":
    """Three events an answer, a record each, every fifth record sent twice."""
    events = [
        each
        for i in range(ANSWERS)
        for each in (
            event(f"r{i}", "shown"),
            event(f"r{i}", "like"),
            event(f"r{i}", "duel", other_response_id=f"r{i}x"),
        )
    ]
    return [[each] for i, each in enumerate(events) for _ in range(2 if i % 5 == 0 else 1)]


@pytest.mark.timeout(120)
def test_killed_in_the_middle_nothing_is_lost_or_doubled(
    real_context: Context, parts: "Forking", tmp_path: Path
) -> None:
    topic = feedback_topic(real_context.settings)
    real_context.event_log.ensure_topic(topic)
    sent = stream()
    records = [Record(some[0].response_id.encode(), FEEDBACK_CODEC.encode(some)) for some in sent]
    real_context.event_log.append(topic, records).result(30)
    unique = len({each.event_id for some in sent for each in some})
    kills = KILLS[real_context.settings.event_log.kind]
    for kill in range(1, kills + 1):
        child = start_child(real_context, parts, tmp_path / "child.out")
        try:
            goal = unique * kill // (kills + 2)
            wait_until(
                lambda goal=goal: count(real_context, feedback_events) >= goal,
                60.0,
                f"{goal} events",
                every_seconds=0.005,
            )
        finally:
            parts.kill(child)
        assert count(real_context, feedback_events) < unique, "killed too late to prove anything"
    child = start_child(real_context, parts, tmp_path / "child.out")
    try:
        wait_until(lambda: applied(real_context) == len(sent), 60.0, "every record applied")
    finally:
        parts.kill(child)
    assert count(real_context, feedback_events) == unique
    assert count(real_context, labels) == ANSWERS
    assert count(real_context, pairs) == ANSWERS
    assert count(real_context, dead_letters) == 0
    with real_context.database.reading() as connection:
        loved = {row.objective_values["love"] for row in connection.execute(select(labels))}
    assert loved == {1.0}


def applied(context: Context) -> int:
    """Records of the feedback topic behind the stored offsets."""
    columns = consumer_offsets.columns
    with context.database.reading() as connection:
        statement = select(func.sum(columns.next_offset)).where(columns.topic == feedback_topic(context.settings))
        return int(connection.execute(statement).scalar() or 0)
