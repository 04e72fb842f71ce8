"""Feedback events off the log into the ledger, and what follows from them: provisional labels, pairs, dead letters.

The hot path of ingest. Events are rows (`ingest.rows`) from the record to the INSERT, in lots (`ingest.lots`) that stay
in the processor's cache; on SQLite each lot is inserted and heard before the next is decoded (`ingest.by_lots`), on
PostgreSQL a polled batch goes as a whole (`ingest.by_batch`). Labels are written once a transaction.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from infra.event_log.port import StoredRecord
from ingest.apply import Applied
from ingest.by_batch import BatchWriter
from ingest.by_lots import LotWriter
from ingest.codec import FEEDBACK_CODEC
from ingest.erasure.tombstones import Screen, Trace
from ingest.labelling import remake_pairs
from ingest.labels import Labelling
from ingest.log_repository import LogRepository
from ingest.lots import Lot, lots_of
from ingest.provisional import ProvisionalLabels
from ingest.repository import FeedbackRepository
from ingest.rows import EVENT_ID, OTHER, RESPONSE_ID, USER_KEY
from ingest.writers import Writer

CONFLICT = "the event_id is taken by an event with other content; make a new id for every new event"


class FeedbackHandler:
    """See `ingest.apply.Handler`."""

    kind = "feedback"
    codec = FEEDBACK_CODEC

    def __init__(self) -> None:
        self._labels: ProvisionalLabels | None = None

    def apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        with collector_paused():
            return self._apply(connection, records, labelling, now)

    def _apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        if self._labels is None or self._labels.labelling is not labelling:
            self._labels = ProvisionalLabels(labelling)
        applied = Applied()
        log_repository = LogRepository(connection)
        lots: Iterable[Lot] = lots_of(records, applied.letters)
        kind: type[Writer] = LotWriter
        if connection.dialect.name != "sqlite":
            kind, lots = BatchWriter, list(lots)
            log_repository.lock(_touched(lots))
        projects: dict[str, tuple[Writer, Screen | None]] = {}
        for lot in lots:
            if lot.project not in projects:
                writer = kind(connection, lot.project, self._labels, now)
                projects[lot.project] = writer, Screen.of(connection, lot.project)
            writer, screen = projects[lot.project]
            kept = lot if screen is None else _screened(lot, screen, applied)
            if kept.rows:
                writer.add(kept)
        for _, (writer, _) in sorted(projects.items()):
            self._finish(writer, applied)
        log_repository.insert_letters(applied.letters)
        return applied

    def _finish(self, writer: Writer, applied: Applied) -> None:
        writer.finish()
        if writer.paired:
            repository = FeedbackRepository(writer.connection, writer.project)
            versions, facts = repository.versions(writer.paired), repository.facts(writer.paired)
            remake_pairs(repository, writer.project, versions, facts, writer.makes.labelling, writer.now)
        applied.new += writer.new
        applied.duplicates += writer.duplicates
        applied.labels += writer.labels
        for lot, index in writer.conflicts:
            _, record, position = lot.placed()[index]
            applied.letters.append(self.codec.letter(record, position, "conflict", CONFLICT))


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a batch makes hundreds of thousands of tuples, none of them in a cycle, and each
    pass of the collector would look at all of them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _touched(lots: Iterable[Lot]) -> Iterator[str]:
    """The responses that rows speak of."""
    for lot in lots:
        yield from lot.columns[RESPONSE_ID] if lot.rows else ()
        yield from (other for other in (lot.columns[OTHER] if lot.rows else ()) if other is not None)


def _screened(lot: Lot, screen: Screen, applied: Applied) -> Lot:
    """The lot without what was erased before."""
    gone = screen.erased(
        [
            Trace(row[EVENT_ID], row[RESPONSE_ID], row[OTHER], row[USER_KEY], at)
            for row, at in zip(lot.rows, lot.received_at, strict=True)
        ]
    )
    applied.erased += len(gone)
    return lot.picked([index for index in range(len(lot.rows)) if index not in gone]) if gone else lot


FEEDBACK_HANDLER = FeedbackHandler()
