"""Events with a signal that this version does not know: refused, with the reason, and kept all the same.

A newer client, or a colleague's new signal, must not lose what people did. Of such an item the fields that every event
has go onto the log, in the shape of a `FeedbackEvent` whose signal no reader knows; the consumer makes a dead letter of
it, and once a version knows the signal, `plaudit ingest dead-letters replay` brings it in. The raw user ends here as
everywhere: a field that nobody knows may hold one, so none is kept.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from infra.contracts import FeedbackEvent, stable_hash, user_key_of
from infra.event_log import Record
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from ingest.ledger import derived_at
from ingest.rules import Problem, id_problem
from ingest.topics import feedback_topic
from ingest.unreadable import UNREADABLE
from ingest.wire import Rejection, WireEvent, read_time

log = structlog.get_logger()

MAX_BYTES = 32_768
"""Larger items are refused without being kept: no event that is known comes near it."""
MAX_KEPT = 100
"""Of one request; the others are refused only. A letter is a row that a person is to look at."""
_RECORD_BYTES = 262_144
"""Of a record of several items, about: well below what any log takes."""
_MOMENTS = ("created_at", "sent_at")
_KEPT = frozenset(WireEvent.__struct_fields__) - {"user", *_MOMENTS}
_PLAIN = (str, int, float, bool, type(None))


def event_document(
    raw: bytes, project: str, secret: bytes, received_at: float, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The item as it goes onto the log; `given` is what the door knows better than the sender (response, person).

    None for what is no object, has no safe response_id, or is too large: nothing could ever be done with it.
    """
    try:
        item = msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        return None
    kept = {name: value for name, value in item.items() if name in _KEPT and isinstance(value, _PLAIN)}
    document = {**kept, **given}
    response_id = document.get("response_id")
    if len(raw) > MAX_BYTES or not isinstance(response_id, str) or id_problem("response_id", response_id):
        return None
    user = item.get("user")
    if "user_key" not in given and isinstance(user, str) and user:
        document["user_key"] = user_key_of(user, secret)
    created, sent = (_moment(item.get(name), name) for name in _MOMENTS)
    return {
        **document,
        "project": project,
        "received_at": received_at,
        "derived_at": derived_at(received_at, created, sent),
    }


def with_documents(
    items: Sequence[FeedbackEvent | Rejection], project: str, secret: bytes, now: float, given: Mapping[str, Any]
) -> list[FeedbackEvent | Rejection]:
    """The items of one request; the first MAX_KEPT refusals with bytes get the document that is kept of them, and say
    so."""
    made: list[FeedbackEvent | Rejection] = []
    strange = 0
    for item in items:
        document = None
        if isinstance(item, Rejection) and item.raw is not None:
            document = event_document(item.raw, project, secret, now, given)
        if document is None or isinstance(item, FeedbackEvent):
            made.append(item)
            continue
        strange += 1
        is_kept = strange <= MAX_KEPT
        fate = "is kept as a dead letter until then" if is_kept else f"is not kept, as {MAX_KEPT} of this request are"
        problem = msgspec.structs.replace(item.problem, message=f"{item.problem.message}; it {fate}")
        made.append(Rejection(item.item_id, problem, document=document if is_kept else None))
    if strange > MAX_KEPT:
        log.warning("unknown_signals_not_kept", items=strange - MAX_KEPT, kept=MAX_KEPT)
    return made


def documents_of(items: Sequence[FeedbackEvent | Rejection]) -> list[dict[str, Any]]:
    """What is to be kept of these items."""
    return [item.document for item in items if isinstance(item, Rejection) and item.document is not None]


async def keep(context: Context, documents: Sequence[dict[str, Any]]) -> None:
    """Returns when all of them are durable in the log. Raises EventLogUnavailable."""
    if not documents:
        return
    event_log, topic = context.event_log, feedback_topic(context.settings)
    event_log.ensure_topic(topic)
    max_bytes = min(_RECORD_BYTES, context.settings.event_log.max_record_bytes // 2)
    records = _records(documents, event_log.partitions(topic), max_bytes)
    await asyncio.wrap_future(event_log.append(topic, records))
    metrics.INGEST_STRANGERS.inc(len(documents))


def _records(documents: Sequence[dict[str, Any]], partitions: int, enough_bytes: int) -> list[Record]:
    """As few records as their partitions and size allow. The key is the response of the first item."""
    records: list[Record] = []
    growing: dict[int, tuple[str, list[bytes]]] = {}
    for document in documents:
        response_id, item = str(document["response_id"]), msgspec.json.encode(document)
        partition = stable_hash(response_id, partitions)
        items = growing.setdefault(partition, (response_id, []))[1]
        items.append(item)
        if sum(map(len, items)) >= enough_bytes:
            records.append(_record(partition, *growing.pop(partition)))
    return records + [_record(partition, *some) for partition, some in growing.items()]


def _record(partition: int, response_id: str, items: Sequence[bytes]) -> Record:
    return Record(response_id.encode(), b"[" + b",".join(items) + b"]", partition)


def _moment(value: Any, name: str) -> float | None:
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    seconds = read_time(name, value)
    return None if isinstance(seconds, Problem) else seconds
