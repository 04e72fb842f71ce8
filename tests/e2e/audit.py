"""What must be true of a store after any number of crashes, worked out from what clients sent and were told."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select

from infra.db.tables import dead_letters, feedback_events, interactions, labels, pairs
from infra.runtime import Context
from ingest.asof import labels_as_of
from ingest.consumer import FeedbackConsumer
from ingest.labelling import by_answer
from ingest.labels import Labelling, make_label
from ingest.repository import FeedbackRepository

FOR_EVER = 1e18
Events = Mapping[str, Mapping[str, Any]]
"""Events as they were sent, by event id."""


def drain(context: Context) -> None:
    """Apply what is still on the log, as the consumer of the next start would."""
    consumer = FeedbackConsumer(context)
    try:
        consumer.drain()
    finally:
        consumer.close()


def provisional(context: Context) -> int:
    """Labels whose window is open, or that later events made due again."""
    with context.database.reading() as connection:
        query = select(func.count()).select_from(labels).where(labels.c.status == "provisional")
        return int(connection.execute(query).scalar_one())


def events_of(context: Context, answers: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The rows of the ledger about these answers, by event id."""
    known = set(answers)
    with context.database.reading() as connection:
        rows = connection.execute(select(feedback_events)).mappings().all()
    return {row["event_id"]: row for row in rows if row["response_id"] in known}


def check_exactly_once(context: Context, sent: Events, acknowledged: Iterable[str], answers: Iterable[str]) -> None:
    """Every acknowledged event and answer is there, once, and says what was sent; about these answers nothing is there
    that nobody sent. (The store's keys allow no second row: 'once' is about what labels and pairs count, too.)"""
    answers = set(answers)
    events = events_of(context, answers)
    lost = set(acknowledged) - set(events)
    assert not lost, f"{len(lost)} acknowledged events are gone"
    assert set(events) <= set(sent)
    with context.database.reading() as connection:
        kept = connection.execute(select(interactions.c.response_id)).scalars().all()
        letters = connection.execute(select(dead_letters)).mappings().all()
    assert answers <= set(kept), f"{len(answers - set(kept))} acknowledged answers are gone"
    # Other tests of the same deployment leave dead letters of their own.
    names = [name.encode() for name in (*answers, *sent)]
    found = [
        (letter["reason"], letter["detail"])
        for letter in letters
        if any(name in bytes(letter["raw"]) for name in names)
    ]
    assert found == [], found
    for event_id, row in events.items():
        event = sent[event_id]
        said = (event["response_id"], event["signal"], event.get("value"), event.get("operation", "set"))
        assert (row["response_id"], row["signal"], row["value"], row["operation"]) == said


def check_labels(context: Context) -> None:
    """Every label equals the one remade from ledger and interaction with ingest's own pure functions."""
    labelling, project = Labelling.of(context.settings.ingest), context.settings.project
    with context.database.reading() as connection:
        repository = FeedbackRepository(connection, project)
        wanted = set(connection.execute(select(feedback_events.c.response_id)).scalars())
        versions = repository.versions(wanted)
        facts = repository.facts(versions)
        ledgers = by_answer(versions)
        labelled = {(row.response_id, row.choice) for row in connection.execute(select(labels))}
        assert labelled == set(ledgers), "an answer has feedback and no label, or a label and no feedback"
        for answer, ledger in ledgers.items():
            label, pending = repository.current_label(*answer)
            assert label is not None
            assert not pending
            remade = make_label(
                project, answer, ledger, facts.get(answer[0]), labelling, version=label.version, made_at=label.made_at
            )
            expected = dict.fromkeys(remade.values) | label.values
            assert (expected, label.events_counted) == (remade.values, remade.events_counted)
        made = labels_as_of(connection, project, FOR_EVER)
        assert made.missing == []
        stored = repository.final_labels(wanted)
        assert made.labels == [stored[answer] for answer in sorted(stored)], "a label cannot be made again"


def check_by_hand(context: Context, sent: Events) -> None:
    """A second opinion that knows nothing of the product: votes, counts and duels from what was sent."""
    by_answer: dict[str, list[tuple[float, str, str, str]]] = {}
    for event_id, event in sent.items():
        told = (event["created_at"], event_id, event["signal"], event.get("operation", "set"))
        by_answer.setdefault(event["response_id"], []).append(told)
    with context.database.reading() as connection:
        rows = connection.execute(select(labels).order_by(labels.c.version)).mappings().all()
        duels = connection.execute(select(pairs.c.pair_id).where(pairs.c.withdrawn_at.is_(None))).scalars().all()
    newest = {row["response_id"]: row for row in rows}
    for response_id, told in by_answer.items():
        row, held = newest[response_id], {(signal, "") for _, _, signal, _ in told if signal in ("shown", "dwell")}
        held |= {(event_id, "duel") for _, event_id, signal, _ in told if signal == "duel"}
        votes = sorted(one for one in told if one[2] in ("like", "dislike"))
        vote = votes[-1][2] if votes and votes[-1][3] == "set" else ""
        assert row["objective_values"]["love"] == float(vote == "like"), (response_id, votes)
        assert row["events_counted"] == len(held) + bool(vote), (response_id, told)
    sent_duels = {event_id for event_id, event in sent.items() if event["signal"] == "duel"}
    assert sent_duels <= set(duels)
