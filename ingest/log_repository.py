"""SQL of what is kept about the log itself: how far each consumer is, the watermark, and dead letters."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from sqlalchemy import Connection, select, text, update

from infra.contracts import stable_hash
from infra.db import insert_ignore_many
from infra.db.tables.feedback import consumer_offsets, dead_letters
from ingest.codec import DeadLetter
from ingest.erasure.tombstones import erased_letters

_LETTER_COLUMNS = tuple(column.name for column in dead_letters.columns)

LETTER_STATUSES = ("open", "replayed", "dropped")

_LOCK_SPACE = 0x504C4155
"""First half of the advisory lock keys: "PLAU"."""
_LOCK_BUCKETS = 64
"""A multiple of the usual partition counts, so that consumers of different partitions rarely wait for each other."""

_SAVE_OFFSET = text(
    # Neither number ever steps back: a consumer that lost its partition without knowing may write late. Its watermark
    # still holds, since it did apply everything it speaks of.
    """INSERT INTO consumer_offsets (consumer_group, topic, topic_identity, partition, next_offset, updated_at)
    VALUES (:group, :topic, :identity, :partition, :next_offset, :updated_at)
    ON CONFLICT (consumer_group, topic, topic_identity, partition) DO UPDATE SET
      next_offset = CASE WHEN excluded.next_offset > consumer_offsets.next_offset
                         THEN excluded.next_offset ELSE consumer_offsets.next_offset END,
      updated_at = CASE WHEN excluded.updated_at > consumer_offsets.updated_at
                        THEN excluded.updated_at ELSE consumer_offsets.updated_at END"""
)


class LogRepository:
    """Offsets and dead letters, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, response_ids: Iterable[str]) -> None:
        """Wait until no other transaction works on these responses; held until the commit. Once a transaction.

        Two consumers may hold the feedback and the interaction of one answer at the same time; unless one waits for
        the other, neither sees what the other wrote and the label is made from half. SQLite has one writer anyway.
        """
        if self._connection.dialect.name == "sqlite":
            return
        buckets = sorted({stable_hash(response_id, _LOCK_BUCKETS) for response_id in set(response_ids)})
        self._connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS int[])) AS bucket"),
            {"space": _LOCK_SPACE, "buckets": buckets},
        ).all()

    def next_offset(self, group: str, topic: str, identity: str, partition: int) -> int:
        """Where to read on; 0 for a partition never read, or of a topic made anew."""
        columns = consumer_offsets.columns
        found = self._connection.execute(
            select(columns.next_offset).where(
                columns.consumer_group == group,
                columns.topic == topic,
                columns.topic_identity == identity,
                columns.partition == partition,
            )
        ).scalar()
        return int(found or 0)

    def save_offsets(self, group: str, topic: str, identity: str, offsets: Mapping[int, tuple[int, float]]) -> None:
        """Write (next offset, watermark in Unix seconds) by partition."""
        rows = [
            {
                "group": group,
                "topic": topic,
                "identity": identity,
                "partition": partition,
                "next_offset": next_offset,
                "updated_at": updated_at,
            }
            for partition, (next_offset, updated_at) in sorted(offsets.items())
        ]
        if rows:
            self._connection.execute(_SAVE_OFFSET, rows)

    def watermark(self, group: str, topics: Mapping[str, tuple[str, int]]) -> float | None:
        """The instant before which everything on `topics` (name -> identity, partitions) has been applied.

        None while some partition has never been read: then nothing is known.
        """
        columns = consumer_offsets.columns
        lowest: float | None = None
        for topic, (identity, partitions) in topics.items():
            rows = self._connection.execute(
                select(columns.updated_at).where(
                    columns.consumer_group == group,
                    columns.topic == topic,
                    columns.topic_identity == identity,
                    columns.partition < partitions,
                )
            ).scalars()
            instants = list(rows)
            if len(instants) < partitions:
                return None
            lowest = min([*instants, *([] if lowest is None else [lowest])])
        return lowest

    def insert_letters(self, letters: Iterable[DeadLetter]) -> int:
        """Keep dead letters; those already there stay as they are, and those about erased people are dropped. Returns
        how many were new."""
        letters = list(letters)
        gone = erased_letters(self._connection, [(letter.project, letter.raw) for letter in letters])
        rows = [
            (
                letter.letter_id,
                letter.project,
                letter.topic,
                letter.partition,
                letter.log_offset,
                letter.position,
                letter.raw,
                letter.reason,
                letter.detail,
                letter.schema_version,
                letter.received_at,
                "open",
            )
            for index, letter in enumerate(letters)
            if index not in gone
        ]
        return insert_ignore_many(self._connection, dead_letters, _LETTER_COLUMNS, rows)

    def letters(
        self, project: str, status: str | None = "open", reason: str | None = None, limit: int = 100
    ) -> list[tuple[DeadLetter, str]]:
        """Dead letters of a project, and those of which nobody can tell the project, with their status, oldest first.

        One statement for each beginning of the index, read in the index's order: no statement reads the whole table.
        """
        columns = dead_letters.columns
        found: list[Any] = []
        for owner, state in product((project, ""), LETTER_STATUSES if status is None else (status,)):
            statement = select(dead_letters).where(columns.project == owner, columns.status == state)
            if reason is not None:
                statement = statement.where(columns.reason == reason)
            ordered = statement.order_by(columns.received_at, columns.letter_id).limit(limit)
            found += self._connection.execute(ordered).all()
        found.sort(key=lambda row: (row.received_at, row.letter_id))
        return [(_letter(row), row.status) for row in found[:limit]]

    def letter(self, letter_id: str) -> tuple[DeadLetter, str] | None:
        """One dead letter with its status."""
        row = self._connection.execute(
            select(dead_letters).where(dead_letters.columns.letter_id == letter_id)
        ).one_or_none()
        return None if row is None else (_letter(row), row.status)

    def set_letter_status(self, letter_id: str, status: str) -> bool:
        """Mark an open letter; False if it is not open (any more)."""
        columns = dead_letters.columns
        done = self._connection.execute(
            update(dead_letters).where(columns.letter_id == letter_id, columns.status == "open").values(status=status)
        )
        return done.rowcount == 1


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(
        letter_id=row.letter_id,
        project=row.project,
        topic=row.topic,
        partition=row.partition,
        log_offset=row.log_offset,
        position=row.position,
        raw=bytes(row.raw),
        reason=row.reason,
        detail=row.detail,
        schema_version=row.schema_version,
        received_at=row.received_at,
    )
