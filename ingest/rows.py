"""An event as a tuple: what the log's segments carry and the ledger's rows begin with. No object is made per event.

The struct `infra.contracts.FeedbackEvent` stays the meaning of an event; a row is its content in a fixed order, without
what many events share. A ledger row is a row followed by (project, received_at, source).
"""

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Final

from msgspec import Meta

from infra.contracts import Device, FeedbackEvent, Operation, Signal

Row = tuple[
    str,  # event_id
    str,  # response_id
    int,  # choice
    Signal,
    Operation,
    float | None,  # value
    str | None,  # text
    str | None,  # other_response_id
    int,  # other_choice
    str | None,  # user_key
    Annotated[float, Meta(ge=0.0)],  # derived_at
    Device | None,
    float | None,  # solicited
]
"""The content of one event. Its order is part of the log's format: see `ingest.segments`."""

LedgerRow = tuple[Any, ...]
"""A Row and (project, received_at, source): `LEDGER_COLUMNS`."""

ROW_FIELDS = (
    "event_id",
    "response_id",
    "choice",
    "signal",
    "operation",
    "value",
    "text",
    "other_response_id",
    "other_choice",
    "user_key",
    "derived_at",
    "device",
    "solicited",
)
LEDGER_COLUMNS = (*ROW_FIELDS, "project", "received_at", "source")

# Where each stands.
EVENT_ID: Final = 0
RESPONSE_ID: Final = 1
CHOICE: Final = 2
SIGNAL: Final = 3
OPERATION: Final = 4
VALUE: Final = 5
TEXT: Final = 6
OTHER: Final = 7
OTHER_CHOICE: Final = 8
USER_KEY: Final = 9
DERIVED_AT: Final = 10
DEVICE: Final = 11
SOLICITED: Final = 12
PROJECT: Final = 13
RECEIVED_AT: Final = 14
SOURCE: Final = 15

_TEXTS = ("comment", "edit", "report")
"""Signals with a text: one that has none may have lost it to `retention.feedback_text_seconds`."""

row_of = attrgetter(*ROW_FIELDS)
"""The Row of a FeedbackEvent."""
ledger_row_of = attrgetter(*LEDGER_COLUMNS)
"""The LedgerRow of a FeedbackEvent."""
instant_of = itemgetter(DERIVED_AT, EVENT_ID)
"""What decides which of two versions of one signal holds: the greater."""


def event_of(row: LedgerRow, schema_version: int = 1) -> FeedbackEvent:
    """The event that a ledger row stands for."""
    return FeedbackEvent(**dict(zip(LEDGER_COLUMNS, row, strict=True)), schema_version=schema_version)


def same_content(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two rows of one id say the same. Times are left out: a client that sends again, or a front end that
    receives again, does not say anything new. So is the text of which retention left one side nothing."""
    if (one[TEXT] is None) != (other[TEXT] is None) and one[SIGNAL] in _TEXTS:
        one, other = [*one[:TEXT], None, *one[TEXT + 1 :]], [*other[:TEXT], None, *other[TEXT + 1 :]]
    return one[:DERIVED_AT] == other[:DERIVED_AT] and one[DERIVED_AT + 1 : PROJECT] == other[DERIVED_AT + 1 : PROJECT]
