"""Rows of the store for this room's tests."""

import uuid
from typing import Any

import msgspec

from infra.contracts import Answer, Interaction, Message
from infra.db import Database
from infra.db.tables import feedback_events, interactions, label_bases, labels, pairs, person_trust, tombstones


def add_interaction(database: Database, response_id: str, texts: tuple[str, ...] = ("one",), **more: Any) -> None:
    """An interaction of project p, by ann, asking "why?"; `more`: fields of Interaction."""
    fields: dict[str, Any] = {
        "project": "p",
        "response_id": response_id,
        "conversation_id": f"c-{response_id}",
        "created_at": 5.0,
        "messages": (Message("user", "why?"),),
        "answers": tuple(Answer(i, text, "stop") for i, text in enumerate(texts)),
        "user_key": "ann",
        "source": "imported",
    }
    made = Interaction(**{**fields, **more})
    row = {
        name: getattr(made, name) for name in ("project", "response_id", "conversation_id", "user_key", "created_at")
    }
    row |= {name: getattr(made, name) for name in ("adapter", "experiment", "arm", "propensity", "phase", "source")}
    with database.transaction() as connection:
        connection.execute(
            interactions.insert().values(**row, payload=msgspec.msgpack.encode(made), content_hash=b"12345678")
        )


def add_label(
    database: Database, response_id: str, version: int, made_at: float, love: float | None, **more: Any
) -> None:
    """A label of choice 0; without a value of love it says nothing at all."""
    row = {
        "project": "p",
        "response_id": response_id,
        "choice": 0,
        "version": version,
        "status": "final" if version else "provisional",
        "objective_values": {"love": love, "dwell": None},
        "weights": {"love": 1.0 if love is not None else 0.0, "dwell": 0.0},
        "events_counted": 1,
        "config_hash": "h",
        "made_at": made_at,
        "window_closes_at": 50.0,
    }
    with database.transaction() as connection:
        connection.execute(labels.insert().values({**row, **more}))


def add_basis(database: Database, response_id: str, version: int, made_at: float, events: tuple[str, ...]) -> None:
    """What a label of choice 0 was made from."""
    with database.transaction() as connection:
        connection.execute(
            label_bases.insert().values(
                project="p",
                labelled_response_id=response_id,
                choice=0,
                version=version,
                config_hash="h",
                made_at=made_at,
                window_closes_at=made_at,
                basis={},
                seen=b"".join(sorted(uuid.UUID(event).bytes for event in events)),
            )
        )


def add_event(database: Database, event_id: str, response_id: str, signal: str, at: float, **more: Any) -> str:
    """An event about choice 0, derived and received at `at`; returns its id."""
    row = {
        "event_id": event_id,
        "project": "p",
        "response_id": response_id,
        "choice": 0,
        "signal": signal,
        "operation": "set",
        "other_choice": 0,
        "user_key": None,
        "derived_at": at,
        "received_at": at,
        "source": "api",
    }
    with database.transaction() as connection:
        connection.execute(feedback_events.insert().values({**row, **more}))
    return event_id


def add_pair(database: Database, pair_id: str, made_at: float, **more: Any) -> None:
    """ann prefers (a, 0) to (b, 1) in a duel."""
    row = {
        "project": "p",
        "pair_id": pair_id,
        "preferred_response_id": "a",
        "preferred_choice": 0,
        "other_response_id": "b",
        "other_choice": 1,
        "source": "duel",
        "user_key": "ann",
        "weight": 1.0,
        "made_at": made_at,
        "withdrawn_at": None,
    }
    with database.transaction() as connection:
        connection.execute(pairs.insert().values({**row, **more}))


def add_trust(database: Database, user_key: str, estimated_at: float, weight: float, project: str = "p") -> None:
    row = {
        "project": project,
        "user_key": user_key,
        "estimated_at": estimated_at,
        "votes_until": estimated_at,
        "weight": weight,
        "reliability": 0.9,
        "reliability_low": 0.8,
        "reliability_high": 1.0,
        "votes": 10,
        "status": "active",
        "reasons": [],
        "config_hash": "h",
    }
    with database.transaction() as connection:
        connection.execute(person_trust.insert().values(row))


def bury(database: Database, kind: str, item_id: str) -> None:
    with database.transaction() as connection:
        connection.execute(
            tombstones.insert().values(project="p", kind=kind, item_id=item_id, erasure_id="e", erased_at=1.0)
        )


def event_id(number: int) -> str:
    return str(uuid.UUID(int=number))
