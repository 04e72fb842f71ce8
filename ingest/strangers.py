"""Events with a signal that this version does not know: refused, with the reason, and kept all the same.

A newer client, or a colleague's new signal, must not lose what people did. Such an item goes onto the log as it came,
in the shape of a `FeedbackEvent` whose signal no reader knows; the consumer makes a dead letter of it, and once a
version knows the signal, `plaudit ingest dead-letters replay` brings it in. The raw user ends here as everywhere.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from infra.contracts import stable_hash, user_key_of
from infra.event_log import Record
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from ingest.ledger import derived_at
from ingest.rules import Problem, id_problem
from ingest.topics import feedback_topic
from ingest.wire import read_time

MAX_BYTES = 32_768
"""Larger items are refused without being kept: no event that is known comes near it."""
_MOMENTS = ("created_at", "sent_at")


def event_document(
    raw: bytes, project: str, secret: bytes, received_at: float, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The item as it goes onto the log; `given` is what the door knows better than the sender (response, person).

    None for what is no object, has no safe response_id, or is too large: nothing could ever be done with it.
    """
    try:
        item = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    document = {**item, **given}
    response_id = document.get("response_id")
    if len(raw) > MAX_BYTES or not isinstance(response_id, str) or id_problem("response_id", response_id):
        return None
    user = document.pop("user", None)
    if isinstance(user, str) and user:
        document["user_key"] = user_key_of(user, secret)
    created, sent = (_moment(document.pop(name, None), name) for name in _MOMENTS)
    return {
        **document,
        "project": project,
        "received_at": received_at,
        "derived_at": derived_at(received_at, created, sent),
    }


async def keep(context: Context, documents: Sequence[dict[str, Any]]) -> None:
    """Returns when all of them are durable in the log. Raises EventLogUnavailable."""
    if not documents:
        return
    log, topic = context.event_log, feedback_topic(context.settings)
    log.ensure_topic(topic)
    partitions = log.partitions(topic)
    records = []
    for document in documents:
        response_id = str(document["response_id"])
        value = b"[" + msgspec.json.encode(document) + b"]"
        records.append(Record(response_id.encode(), value, stable_hash(response_id, partitions)))
    await asyncio.wrap_future(log.append(topic, records))
    metrics.INGEST_STRANGERS.inc(len(records))


def _moment(value: Any, name: str) -> float | None:
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    seconds = read_time(name, value)
    return None if isinstance(seconds, Problem) else seconds
