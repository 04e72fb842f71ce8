"""Requests and answers of TensorZero and Langfuse, as their clients send and read them.

TensorZero 2026.6 `POST /feedback`; Langfuse 2 to 5 `POST /api/public/scores` (one score; an array since its version 5)
and `POST /api/public/ingestion` (what its clients before version 5 use for scores). Fields that mean nothing here are
taken and not looked at; unknown ones are refused where the product itself does so.
"""

from typing import Any

import msgspec

from ingest.unreadable import UNREADABLE
from ingest.wire import InvalidBody


class TensorZeroFeedback(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """TensorZero's request. `value`: boolean, number, text, or a demonstration."""

    metric_name: str
    value: Any
    inference_id: str | None = None
    episode_id: str | None = None
    internal: bool = False
    tags: dict[str, str] = {}
    dryrun: bool | None = None


class TensorZeroAnswer(msgspec.Struct):
    """TensorZero's answer."""

    feedback_id: str


class LangfuseScore(msgspec.Struct, kw_only=True, rename="camel"):
    """Langfuse's score. `value`: a number, a text, or true and false."""

    name: str
    value: float | bool | str
    id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    observation_id: str | None = None
    dataset_run_id: str | None = None
    comment: str | None = None
    metadata: dict[str, Any] | None = None
    environment: str | None = None
    queue_id: str | None = None
    data_type: str | None = None
    config_id: str | None = None
    source: str | None = None
    timestamp: str | None = None


class LangfuseCreated(msgspec.Struct):
    """Langfuse's answer to one score."""

    id: str


class LangfuseAccepted(msgspec.Struct):
    """Langfuse's answer to an array of which everything was accepted, and to a deletion."""

    message: str


class LangfuseProblem(msgspec.Struct):
    """Why one score of an array was refused."""

    message: str


class LangfusePartly(msgspec.Struct):
    """Langfuse's answer to an array of which not everything was accepted (207)."""

    accepted: int
    rejected: int
    errors: list[LangfuseProblem]


class IngestionEvent(msgspec.Struct, kw_only=True):
    """One event of a batch; only the type `score-create` means something here."""

    id: str
    type: str
    body: msgspec.Raw
    timestamp: str | None = None


class IngestionBatch(msgspec.Struct, kw_only=True):
    """Langfuse's batch."""

    batch: list[IngestionEvent]
    metadata: Any = None


class IngestionResult(msgspec.Struct, omit_defaults=True):
    """What became of one event of a batch."""

    id: str
    status: int
    message: str | None = None
    error: str | None = None


class IngestionAnswer(msgspec.Struct):
    """Langfuse's answer to a batch (207)."""

    successes: list[IngestionResult]
    errors: list[IngestionResult]


_TENSORZERO = msgspec.json.Decoder(TensorZeroFeedback)
_SCORE = msgspec.json.Decoder(LangfuseScore)
_BATCH = msgspec.json.Decoder(IngestionBatch)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


def read_tensorzero(body: bytes) -> TensorZeroFeedback:
    """Raises InvalidBody."""
    try:
        return _TENSORZERO.decode(body)
    except UNREADABLE as error:
        raise InvalidBody(f"this is not TensorZero's POST /feedback: {error}") from None


def read_score(body: bytes) -> LangfuseScore:
    """Raises InvalidBody."""
    try:
        return _SCORE.decode(body)
    except UNREADABLE as error:
        raise InvalidBody(f"this is not a score of Langfuse: {error}") from None


def read_scores(body: bytes, max_items: int) -> list[bytes] | None:
    """The scores of an array, unread; None if the body is no array. Raises InvalidBody."""
    if body.lstrip()[:1] != b"[":
        return None
    try:
        raws = _RAWS.decode(body)
    except UNREADABLE as error:
        raise InvalidBody(f"this is no array of Langfuse's scores: {error}") from None
    _require_few(len(raws), max_items)
    return [bytes(raw) for raw in raws]


def read_batch(body: bytes, max_items: int) -> list[IngestionEvent]:
    """Raises InvalidBody."""
    try:
        batch = _BATCH.decode(body).batch
    except UNREADABLE as error:
        raise InvalidBody(f"this is no batch of Langfuse's ingestion: {error}") from None
    _require_few(len(batch), max_items)
    return batch


def _require_few(count: int, limit: int) -> None:
    if count > limit:
        raise InvalidBody(f"{count} items in one request; send at most {limit}", code="too_many_items", status=413)
