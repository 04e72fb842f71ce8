"""The topic of erasures, consumed like the others: a store restored from a backup, or filled anew from the log, learns
again who was erased, and deletes what it holds of them. Correctness does not depend on what is read first.
"""

from collections.abc import Iterable
from typing import Any

import structlog
from sqlalchemy import Connection

from infra.event_log.port import StoredRecord
from infra.metrics import catalogue as metrics
from ingest.apply import Applied
from ingest.codec import FEEDBACK_CODEC, WHOLE_RECORD
from ingest.erasure.artefacts_repository import ArtefactRepository
from ingest.erasure.forgetting import Whom, forget
from ingest.erasure.message import ErasureMessage, decode
from ingest.erasure.repository import ErasureRepository, TombstoneRepository
from ingest.erasure.rows_repository import RowsRepository
from ingest.erasure.tombstones import person_digest
from ingest.labels import Labelling
from ingest.log_repository import LogRepository
from ingest.unreadable import UNREADABLE

log = structlog.get_logger()


class ErasureHandler:
    """What `ingest.consumer` asks of the handler of a topic."""

    kind = "erasures"
    codec: Any = FEEDBACK_CODEC
    """For dead letters only: it keeps the bytes of a record that is no erasure."""

    def apply(
        self, connection: Connection, records: Iterable[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        """Apply erasures that this store does not know yet."""
        applied = Applied()
        for record in records:
            try:
                message = decode(record.value)
            except UNREADABLE as error:
                applied.letters.append(self.codec.letter(record, WHOLE_RECORD, "undecodable", str(error)))
                continue
            if self._known(connection, message):
                applied.duplicates += 1
            else:
                self._learn(connection, message, labelling, now)
                applied.new += 1
        LogRepository(connection).insert_letters(applied.letters)
        return applied

    def _known(self, connection: Connection, message: ErasureMessage) -> bool:
        """Whether this part was applied: the command does so in its own transaction."""
        tombstones = TombstoneRepository(connection, message.project)
        return (
            ErasureRepository(connection, message.project).known(message.erasure_id)
            and len(tombstones.known("event", message.events)) == len(message.events)
            and len(tombstones.known("response", message.responses)) == len(message.responses)
        )

    def _learn(self, connection: Connection, message: ErasureMessage, labelling: Labelling, now: float) -> None:
        digests = frozenset(message.people)
        keys = RowsRepository(connection, message.project).keys()
        whom = Whom(
            erasure_id=message.erasure_id,
            project=message.project,
            before=message.erased_at,
            keys=frozenset(key for key in keys if person_digest(message.project, key) in digests),
            digests=digests,
            events=frozenset(message.events),
            responses=frozenset(message.responses),
        )
        gone = forget(connection, whom, labelling, now)
        ArtefactRepository(connection, message.project).mark(message.tainted, message.erasure_id, message.erased_at)
        erasures = ErasureRepository(connection, message.project)
        if not erasures.known(message.erasure_id):
            erasures.add(message.erasure_id, message.erased_at, "log", {})
        metrics.ERASURES.labels("log").inc()
        log.warning("erasure_learned_from_the_log", erasure_id=message.erasure_id, rows=gone.counts)


ERASURE_HANDLER = ErasureHandler()
