"""What the two ways of writing feedback have in common: `ingest.by_lots` on SQLite, `ingest.by_batch` on PostgreSQL.

A writer serves one project in one transaction. Lots are added one after the other; `finish` writes the labels, of
everything that was new, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ingest.ledger import PAIR_SIGNALS
from ingest.lots import Columns, Lot
from ingest.provisional import ANSWER, CLOSES_AT, Answer, Fact, LabelRow, ProvisionalLabels
from ingest.provisional_repository import ProvisionalRepository
from ingest.repository import FeedbackRepository
from ingest.rows import RESPONSE_ID, SIGNAL, LedgerRow
from ingest.standing import Heard


@dataclass
class Writer(ABC):
    """`now`: Unix seconds at which labels are made. What came of it: numbers of events that were new or repetitions, of
    labels written, the (lot, index) of events at odds with one of the same id, and responses whose pairs changed."""

    connection: Connection
    project: str
    makes: ProvisionalLabels
    now: float
    new: int = 0
    duplicates: int = 0
    labels: int = 0
    conflicts: list[tuple[Lot, int]] = field(default_factory=list)
    paired: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._repository = FeedbackRepository(self.connection, self.project)
        self._written = ProvisionalRepository(self.connection, self.project)
        self._config_hash = self.makes.labelling.config_hash
        self._heard = Heard()

    @abstractmethod
    def add(self, lot: Lot) -> None:
        """Take the events of a lot."""

    @abstractmethod
    def finish(self) -> None:
        """Write the labels."""

    def _take_in(self, columns: Columns) -> None:
        """Rows that are new to the ledger, of which there are some."""
        self.new += len(columns[RESPONSE_ID])
        self._heard.hear(columns)
        if not PAIR_SIGNALS.isdisjoint(columns[SIGNAL]):
            found = zip(columns[RESPONSE_ID], columns[SIGNAL], strict=True)
            self.paired.update(response for response, signal in found if signal in PAIR_SIGNALS)

    def _from_ledgers(self, ledgers: Mapping[Answer, list[LedgerRow]], facts: Mapping[str, Fact]) -> None:
        """Write labels of answers of which all of the ledger is here."""
        known, others = self.makes.rows(ledgers, facts, self.now)
        self._written.put_provisional(known, self._config_hash, windows_stand=True)
        self._written.put_provisional(others, self._config_hash, windows_stand=False)
        self._bring_forward(known)
        self.labels += len(ledgers)

    def _bring_forward(self, rows: Sequence[LabelRow]) -> None:
        """Where a final label stands, what changes it is due at once: closing has put the row off to the next window.

        Looked up only for answers whose first window is over: none of the others has a final label. And only after the
        rows were written: they are locked by then, so a label job that was at one of them has committed, and is seen.
        """
        late = [row for row in rows if row[CLOSES_AT] <= self.now]
        if late:
            labelled = self._repository.labelled(row[ANSWER][0] for row in late)
            due = [row for row in late if row[ANSWER] in labelled]
            self._written.put_provisional(due, self._config_hash, windows_stand=False)


def responses_of(answers: Iterable[Answer]) -> set[str]:
    """The responses of these answers."""
    return {response for response, _ in answers}
