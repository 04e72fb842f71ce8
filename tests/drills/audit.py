"""After a drill: acknowledged = stored, and every label as a clean run over the same records makes it."""

import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from infra.contracts import uuid7
from infra.db.tables.feedback import dead_letters, feedback_events, interactions, labels
from infra.event_log import Record, StoredRecord
from infra.runtime import Context, JobContext, open_context
from infra.settings import Settings
from ingest.consumer import FeedbackConsumer
from ingest.jobs import run_label
from ingest.topics import feedback_topic, interactions_topic
from tests.drills.plant import Plant
from tests.drills.stream import Sender
from tests.fixtures.helpers import wait_until
from tests.ingest.builders import newest_labels, pairs_that_hold


def records_of(context: Context) -> list[StoredRecord]:
    """Every record of both topics, read by a group of its own."""
    found: list[StoredRecord] = []
    for topic in (feedback_topic(context.settings), interactions_topic(context.settings)):
        context.event_log.ensure_topic(topic)
        consumer = context.event_log.consumer(topic, f"audit-{uuid7().hex[-8:]}")
        try:
            wait_until(lambda c=consumer: c.poll(1, 0.05) or c.assignment(), 30.0, "the audit's assignment")
            for partition in consumer.assignment():
                consumer.seek(partition, 0)
            ends = consumer.end_offsets()
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                found += consumer.poll(500, 0.2)
        finally:
            consumer.close()
    return found


def settle(plant: Plant, events: Sequence[dict[str, Any]], timeout_seconds: float = 180.0) -> None:
    """Wait until everything sent is stored and every window is closed."""
    wanted = len({event["event_id"] for event in events})
    answers = len({event["response_id"] for event in events})
    context = plant.context

    def stored() -> bool:
        with context.database.reading() as connection:
            here = connection.execute(select(func.count()).select_from(feedback_events)).scalar_one()
            known = connection.execute(select(func.count()).select_from(interactions)).scalar_one()
        return bool(here >= wanted and known >= answers)

    def closed() -> bool:
        with context.database.reading() as connection:
            statuses = set(connection.execute(select(labels.columns.status).distinct()).scalars())
            provisional = select(func.count()).select_from(labels).where(labels.columns.version == 0)
            return statuses == {"final"} and not connection.execute(provisional).scalar_one()

    wait_until(stored, timeout_seconds, f"{wanted} events and {answers} answers in the store", every_seconds=0.1)
    wait_until(closed, timeout_seconds, "the end of every window", every_seconds=0.1)


def check(
    plant: Plant, events: Sequence[dict[str, Any]], senders: Iterable[Sender], earlier: Sequence[StoredRecord] = ()
) -> None:
    """Acknowledged = stored = sent, once; labels and pairs equal those of a clean run over the log's records.

    `earlier`: records of a broker that is gone.
    """
    sent = {event["event_id"] for event in events}
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    with plant.context.database.reading() as connection:
        stored = list(connection.execute(select(feedback_events.columns.event_id)).scalars())
        letters = connection.execute(select(func.count()).select_from(dead_letters)).scalar_one()
        found, pairs = newest_labels(connection), pairs_that_hold(connection)
    assert len(stored) == len(set(stored))
    assert set(stored) == sent
    assert sent <= acknowledged
    assert letters == 0
    clean_labels, clean_pairs = clean_run(
        plant.settings, plant.folder / "clean", [*earlier, *records_of(plant.context)]
    )
    assert found == clean_labels
    assert pairs == clean_pairs


def clean_run(
    settings: Settings, folder: Path, records: Sequence[StoredRecord], shuffled: int | None = None
) -> tuple[dict[Any, Any], list[Any]]:
    """Labels and pairs of an undisturbed consumer and label job over the same records."""
    event_log = settings.event_log.model_copy(update={"kind": "embedded"})
    store = settings.store.model_copy(update={"url": ""})
    own = settings.model_copy(update={"data_dir": folder, "event_log": event_log, "store": store})
    ordered = list(records)
    if shuffled is not None:
        random.Random(shuffled).shuffle(ordered)
    with ExitStack() as closing:
        context = open_context(own)
        closing.callback(context.close)
        for record in ordered:
            topic = record.topic
            context.event_log.ensure_topic(topic)
            again = Record(record.key, record.value, record.partition, record.headers)
            context.event_log.append(topic, [again]).result(10)
        consumer = FeedbackConsumer(context)
        closing.callback(consumer.close)
        consumer.drain(60.0 + 0.1 * len(ordered))  # in steps as small as the drill's, each with its flush

        def final() -> bool:
            consumer.drain(5.0)
            run_label(JobContext(context))
            with context.database.reading() as connection:
                return not connection.execute(
                    select(func.count()).select_from(labels).where(labels.columns.version == 0)
                ).scalar_one()

        wait_until(final, 30.0 + 0.1 * len(ordered), "the end of every window of the clean run", every_seconds=0.2)
        with context.database.reading() as connection:
            return newest_labels(connection), pairs_that_hold(connection)
