"""One polled batch of records into the store: ledger, labels, pairs, dead letters.

Runs inside the caller's transaction. Applying the same records again changes nothing, in whatever order and grouping
they come. `ingest.feedback_handler` and `ingest.interaction_handler` do it, one for each topic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection

from infra.event_log.port import StoredRecord
from ingest.codec import Codec, DeadLetter
from ingest.labels import Labelling


@dataclass(slots=True)
class Applied:
    """What one batch did: new rows, repetitions of known ones, what was erased before and stays so, labels remade, and
    dead letters."""

    new: int = 0
    duplicates: int = 0
    erased: int = 0
    labels: int = 0
    letters: list[DeadLetter] = field(default_factory=list)


class Handler(Protocol):
    """What the consumer asks of the handler of a topic."""

    @property
    def kind(self) -> str: ...

    @property
    def codec(self) -> Codec[Any]: ...

    def apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        """Write the records' items and everything that follows from them."""
        ...
