"""Taking erased items out of records of the log: the others stay as they are, and the record keeps its offset."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from infra.event_log.embedded.rewriting import Edit, rewrite
from infra.event_log.port import StoredRecord
from infra.runtime import Context
from ingest.erasure.items import Items, read_feedback, read_interactions
from ingest.erasure.letters import Needles
from ingest.erasure.tombstones import Screen, Trace
from ingest.topics import feedback_topic, interactions_topic

Reader = Callable[[bytes], Items]


def redact_log(context: Context, needles: Needles) -> dict[str, int]:
    """Take every erased item out of the embedded log; rewritten records by topic. Nothing is done on Kafka.

    What is erased is asked of the store (tombstones and people); `needles` find the person in what cannot be decoded.
    """
    if context.settings.event_log.kind != "embedded":
        return {}
    path = context.settings.data_dir / "log.sqlite3"
    topics: tuple[tuple[str, Reader], ...] = (
        (feedback_topic(context.settings), read_feedback),
        (interactions_topic(context.settings), read_interactions),
    )
    return {topic: rewrite(path, topic, _edit(context, reader, needles)) for topic, reader in topics}


def _edit(context: Context, reader: Reader, needles: Needles) -> Edit:
    def edit(records: Sequence[StoredRecord]) -> dict[int, bytes]:
        read = [reader(record.value) for record in records]
        with context.database.transaction() as connection:  # a person found by digest leaves tombstones
            return redacted(connection, context.settings.project, read, needles)

    return edit


def redacted(connection: Connection, project: str, read: Sequence[Items], needles: Needles) -> dict[int, bytes]:
    """New values of the records that hold anything erased, by index. Items of other projects are left alone."""
    gone: dict[int, set[int]] = {}
    places: list[tuple[int, int]] = []
    traces: list[Trace] = []
    for index, one in enumerate(read):
        for position, item in enumerate(one.items):
            if item.trace is None:
                if needles.found_in(item.raw):
                    gone.setdefault(index, set()).add(position)
            elif item.project == project:
                places.append((index, position))
                traces.append(item.trace)
    screen = Screen.of(connection, project)
    for erased in screen.erased(traces) if screen is not None else ():
        index, position = places[erased]
        gone.setdefault(index, set()).add(position)
    return {index: read[index].without(positions) for index, positions in gone.items()}
