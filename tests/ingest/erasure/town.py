"""Three people, their chats and reactions, sent the way real ones are: over the feedback service and the log."""

import asyncio
import json
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from infra.contracts import Answer, Interaction, Message, uuid7
from infra.db.tables import metadata
from infra.event_log import Record
from infra.runtime import Context
from infra.settings import user_secret
from ingest.consumer import FeedbackConsumer
from ingest.erasure.service import keys_of
from ingest.service import IngestService
from ingest.topics import interactions_topic
from tests.ingest.builders import PROJECT, START

ANNA, BERT, CARL = "anna.example@mail.test", "bert", "carl"
ANSWERS = {name: f"chatcmpl-{uuid7()}" for name in ("anna-1", "anna-2", "bert-1", "bert-2", "carl-1")}
SECRET_PROMPT = "How do I tell my sister about the flat?"


def key_of(context: Context, person: str) -> str:
    """The person's key under the present secret."""
    from infra.contracts import user_key_of

    return user_key_of(person, user_secret(context.settings))


def interaction(context: Context, name: str, person: str, prompt: str = "What is a tide?") -> Interaction:
    """One chat of a person."""
    return Interaction(
        project=PROJECT,
        response_id=ANSWERS[name],
        conversation_id=f"talk-{name}",
        created_at=START - 10,
        messages=(Message("user", prompt),),
        answers=(Answer(0, f"The answer to {name}", "stop"),),
        user_key=key_of(context, person),
        experiment="e1",
        arm="control",
        propensity=0.5,
        phase=1,
    )


def event(answer: str, signal: str, person: str | None, **more: Any) -> dict[str, Any]:
    """One event as a client sends it."""
    made = {"event_id": str(uuid7()), "response_id": ANSWERS[answer], "signal": signal, **more}
    return made if person is None else {**made, "user": person}


def live(context: Context) -> list[dict[str, Any]]:
    """Everybody chats and reacts; the log is drained into the store. Returns the events sent."""
    chats = [
        interaction(context, "anna-1", ANNA, SECRET_PROMPT),
        interaction(context, "anna-2", ANNA),
        interaction(context, "bert-1", BERT),
        interaction(context, "bert-2", BERT),
        interaction(context, "carl-1", CARL),
    ]
    topic = interactions_topic(context.settings)
    context.event_log.ensure_topic(topic)
    record = Record(ANSWERS["anna-1"].encode(), msgspec.msgpack.encode(chats))  # one record holds several people
    context.event_log.append(topic, [record]).result(10)
    events = [
        event("anna-1", "shown", None),
        event("anna-1", "like", ANNA),
        event("anna-1", "comment", None, text="This is what I, the sister, feared"),
        event("anna-2", "like", BERT),  # somebody else's vote on her answer
        event("bert-1", "shown", None),
        event("bert-1", "like", BERT),
        event("bert-1", "dislike", ANNA),  # her vote on somebody else's answer
        event("bert-1", "duel", ANNA, other_response_id=ANSWERS["bert-2"]),
        event("bert-2", "duel", CARL, other_response_id=ANSWERS["bert-1"]),
        event("carl-1", "shown", None),
        event("carl-1", "like", CARL),
    ]
    send(context, events)
    drain(context)
    return events


def send(context: Context, events: list[dict[str, Any]]) -> None:
    """Through the feedback service onto the log."""
    result = asyncio.run(IngestService(context).accept_feedback(json.dumps(events).encode()))
    assert result.accepted == len(events), result


def drain(context: Context) -> None:
    """Read the log to its end, without waiting long for what is not there."""
    ingest = context.settings.ingest.model_copy(update={"poll_seconds": 0.005})
    settings = context.settings.model_copy(update={"ingest": ingest})
    consumer = FeedbackConsumer(Context(settings, context.clock, context.database, context.event_log))
    try:
        consumer.drain()
    finally:
        consumer.close()


def everything(connection: Connection) -> dict[str, list[Any]]:
    """Every row of every table."""
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
        for table in metadata.sorted_tables
    }


def tables_holding(connection: Connection, needles: list[bytes]) -> dict[str, list[Any]]:
    """Rows whose values hold any of the needles, whatever the column."""
    return {
        name: found
        for name, rows in everything(connection).items()
        if (found := [row for row in rows if any(_holds(value, needles) for value in row)])
    }


def _holds(value: Any, needles: list[bytes]) -> bool:
    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return any(needle in raw for needle in needles)


def names_of(context: Context, person: str) -> list[bytes]:
    """The bytes that stand for a person: the raw id and every key."""
    return [person.encode(), *(key.encode() for key in sorted(keys_of(context.settings, person)))]
