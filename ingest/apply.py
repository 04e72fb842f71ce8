"""One polled batch of records into the store: ledger, labels, pairs, dead letters.

Runs inside the caller's transaction. Applying the same records again changes nothing, in whatever order and grouping
they come.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Connection

from infra.contracts import FeedbackEvent, Interaction
from infra.event_log.port import StoredRecord
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC, Codec, DeadLetter, Placed
from ingest.labelling import remake
from ingest.labels import Labelling
from ingest.log_repository import LogRepository
from ingest.repository import FeedbackRepository

T = TypeVar("T", FeedbackEvent, Interaction)


@dataclass(slots=True)
class Applied:
    """What one batch did: new rows, repetitions of known ones, labels remade, and dead letters."""

    new: int = 0
    duplicates: int = 0
    labels: int = 0
    letters: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Handler(Generic[T]):
    """What differs between the two topics."""

    kind: str
    codec: Codec[T]
    insert: Callable[[FeedbackRepository, Sequence[T]], tuple[int, list[int]]]
    other: Callable[[T], str | None]
    conflict: str

    def apply(
        self, connection: Connection, records: Iterable[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        """Write the records' items and everything that follows from them."""
        applied = Applied()
        by_project: dict[str, list[Placed[T]]] = defaultdict(list)
        for record in records:
            placed, letters = self.codec.decode(record)
            applied.letters += letters
            for item in placed:
                by_project[item.item.project].append(item)
        log_repository = LogRepository(connection)
        log_repository.lock(self._touched(one.item for items in by_project.values() for one in items))
        for project, items in sorted(by_project.items()):
            self._apply_project(FeedbackRepository(connection, project), project, items, labelling, now, applied)
        log_repository.insert_letters(applied.letters)
        return applied

    def _touched(self, items: Iterable[T]) -> set[str]:
        touched: set[str] = set()
        for item in items:
            touched.add(item.response_id)
            if (other := self.other(item)) is not None:
                touched.add(other)
        return touched

    def _apply_project(
        self,
        repository: FeedbackRepository,
        project: str,
        placed: list[Placed[T]],
        labelling: Labelling,
        now: float,
        applied: Applied,
    ) -> None:
        items = [one.item for one in placed]
        new, conflicts = self.insert(repository, items)
        for index in conflicts:
            _, record, position = placed[index]
            applied.letters.append(self.codec.letter(record, position, "conflict", self.conflict))
        applied.new += new
        applied.duplicates += len(items) - new - len(conflicts)
        applied.labels += remake(repository, project, {item.response_id for item in items}, labelling, now)


FEEDBACK_HANDLER = Handler(
    kind="feedback",
    codec=FEEDBACK_CODEC,
    insert=FeedbackRepository.insert_events,
    other=lambda event: event.other_response_id,
    conflict="the event_id is taken by an event with other content; make a new id for every new event",
)
INTERACTION_HANDLER = Handler(
    kind="interactions",
    codec=INTERACTION_CODEC,
    insert=FeedbackRepository.insert_interactions,
    other=lambda interaction: None,
    conflict="the response_id is taken by an interaction with other content; make a new id for every new response",
)
