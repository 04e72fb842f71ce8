"""Short ways to say events, interactions and records in tests, and a look at what the store holds in the end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from infra.contracts import Answer, FeedbackEvent, Interaction, Message, uuid7
from infra.db.tables.feedback import labels, pairs
from infra.event_log import StoredRecord
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC
from ingest.ledger import Version

START = 1_700_000_000.0
PROJECT = "default"


def event(response_id: str = "r1", signal: str = "like", **more: Any) -> FeedbackEvent:
    """An event that came at START, unless `more` says otherwise."""
    fields: dict[str, Any] = {
        "event_id": str(uuid7()),
        "project": PROJECT,
        "response_id": response_id,
        "signal": signal,
        "received_at": START,
        "derived_at": START,
        **more,
    }
    fields["received_at"] = max(fields["received_at"], fields["derived_at"])
    return FeedbackEvent(**fields)


def interaction(response_id: str = "r1", **more: Any) -> Interaction:
    """An interaction of conversation `c1` with one answer of 20 characters, created ten seconds before START."""
    fields: dict[str, Any] = {
        "project": PROJECT,
        "response_id": response_id,
        "conversation_id": "c1",
        "created_at": START - 10,
        "messages": (Message("user", "What is a tide?"),),
        "answers": (Answer(0, "The moon does it all", "stop"),),
        **more,
    }
    return Interaction(**fields)


def version(signal: str, at: float = START, **more: Any) -> Version:
    """A ledger version of choice 0."""
    fields: dict[str, Any] = {
        "event_id": str(uuid7()),
        "choice": 0,
        "signal": signal,
        "operation": "set",
        "value": None,
        "other_response_id": None,
        "other_choice": 0,
        "user_key": None,
        "derived_at": at,
        **more,
    }
    return Version(**fields)


def feedback_record(events: Sequence[FeedbackEvent], offset: int = 0, value: bytes | None = None) -> StoredRecord:
    """A record of the feedback topic as the log hands it out; `value` replaces the encoded events."""
    encoded = FEEDBACK_CODEC.encode(events) if value is None else value
    return StoredRecord("plaudit.feedback", 0, offset, START, b"key", encoded)


def interaction_record(items: Sequence[Interaction], offset: int = 0, value: bytes | None = None) -> StoredRecord:
    """The same for interactions."""
    encoded = INTERACTION_CODEC.encode(items) if value is None else value
    return StoredRecord("plaudit.interactions", 0, offset, START, b"key", encoded)


def newest_labels(connection: Connection) -> dict[tuple[str, int], dict[str, Any]]:
    """The newest label of each answer, without its version and the time it was made."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in connection.execute(select(labels).order_by(labels.columns.version)):
        document = row._asdict()
        del document["version"], document["made_at"]
        found[row.response_id, row.choice] = document
    return found


def pairs_that_hold(connection: Connection) -> list[dict[str, Any]]:
    """Pairs that are not withdrawn, without the time they were made."""
    columns = pairs.columns
    rows = connection.execute(select(pairs).where(columns.withdrawn_at.is_(None)).order_by(columns.pair_id))
    return [{name: value for name, value in row._asdict().items() if name != "made_at"} for row in rows]
