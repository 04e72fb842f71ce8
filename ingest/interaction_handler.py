"""Interactions off the log into the store; labels and pairs of feedback that came before them are remade."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection

from infra.contracts import Interaction
from infra.event_log.port import StoredRecord
from ingest.apply import Applied
from ingest.codec import INTERACTION_CODEC, Placed
from ingest.erasure.tombstones import erased_items
from ingest.labelling import remake
from ingest.labels import Labelling
from ingest.log_repository import LogRepository
from ingest.repository import FeedbackRepository

CONFLICT = "the response_id is taken by an interaction with other content; make a new id for every new response"


class InteractionHandler:
    """See `ingest.apply.Handler`."""

    kind = "interactions"
    codec = INTERACTION_CODEC

    def apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        applied = Applied()
        by_project: dict[str, list[Placed[Interaction]]] = defaultdict(list)
        for record in records:
            placed, letters = self.codec.decode(record)
            applied.letters += letters
            for one in placed:
                by_project[one.item.project].append(one)
        log_repository = LogRepository(connection)
        log_repository.lock({one.item.response_id for some in by_project.values() for one in some})
        for project, some in sorted(by_project.items()):
            self._apply_project(connection, project, some, labelling, now, applied)
        log_repository.insert_letters(applied.letters)
        return applied

    def _apply_project(
        self,
        connection: Connection,
        project: str,
        placed: list[Placed[Interaction]],
        labelling: Labelling,
        now: float,
        applied: Applied,
    ) -> None:
        gone = erased_items(connection, project, [one.item for one in placed])
        if gone:
            applied.erased += len(gone)
            placed = [one for index, one in enumerate(placed) if index not in gone]
        items = [one.item for one in placed]
        repository = FeedbackRepository(connection, project)
        new, conflicts = repository.insert_interactions(items, now)
        for index in conflicts:
            _, record, position = placed[index]
            applied.letters.append(self.codec.letter(record, position, "conflict", CONFLICT))
        applied.new += new
        applied.duplicates += len(items) - new - len(conflicts)
        applied.labels += remake(repository, project, {item.response_id for item in items}, labelling, now)


INTERACTION_HANDLER = InteractionHandler()
