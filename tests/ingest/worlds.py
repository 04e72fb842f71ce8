"""A store full of people who were shown answers, for the jobs that learn from them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, insert

from infra.contracts import Answer, FeedbackEvent, Interaction, Message
from infra.db.tables import serving_state
from infra.settings.ingest import IngestSettings
from ingest.closing import Closing, close
from ingest.evidence import standing_evidence
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository
from ingest.specification.versions import Specifications
from tests.ingest.builders import PROJECT, START, event, feedback_record, interaction, interaction_record

if TYPE_CHECKING:
    from infra.runtime import Context

DAY = 86400.0
CHAMPION = "champion@1"


def with_ingest(context: "Context", **changes: Any) -> None:
    """Give the context other settings of ingest; sections by their documents."""
    document = {**context.settings.ingest.model_dump(), **changes}
    changed = context.settings.model_copy(update={"ingest": IngestSettings.model_validate(document)})
    object.__setattr__(context, "settings", changed)


def put(context: "Context", served: list[Interaction], events: list[FeedbackEvent]) -> None:
    """These interactions and events are read from the log."""
    labelling = Labelling.of(context.settings.ingest)
    with context.database.transaction() as connection:
        INTERACTION_HANDLER.apply(connection, [interaction_record(served)], labelling, START)
        FEEDBACK_HANDLER.apply(connection, [feedback_record(events)], labelling, START)


def close_windows(context: "Context", now: float) -> int:
    """What the label job does at `now`, without a log."""
    settings = context.settings
    specifications = Specifications.of(settings.ingest)
    labelling = specifications.in_force
    with context.database.transaction() as connection:
        specifications.record(connection, PROJECT, now)
        due = FeedbackRepository(connection, PROJECT).due(now, 100_000)
        evidence = standing_evidence(connection, settings, labelling)
        return close(connection, PROJECT, due, Closing(labelling, now, now, evidence, specifications.candidate))


def crown(connection: Connection) -> None:
    """There is a champion."""
    connection.execute(
        insert(serving_state).values(
            project=PROJECT, champion=CHAMPION, last_proven=CHAMPION, decision_id="d1", updated_at=START
        )
    )


def populate(context: "Context", people: int, days: int, *, asked: float = 0.0, seed: int = 0) -> None:
    """`people` who ask once a day for `days` days while they stay. On a phone they like less and vote less; who liked
    an answer reads it longer and is likelier to come back next day."""
    draw = np.random.default_rng(seed)
    served, events = [], []
    for person in range(people):
        key, device = f"person{person:04}", "mobile" if draw.random() < 0.5 else "desktop"
        here = True
        for day in range(days):
            if not here:
                here = bool(draw.random() < 0.15)
                continue
            response, at = f"r{person:04}-{day:02}", START + day * DAY + float(draw.uniform(0, DAY / 2))
            words = int(draw.integers(5, 200))
            liked = bool(draw.random() < (0.35 if device == "mobile" else 0.75))
            served.append(
                interaction(
                    response,
                    user_key=key,
                    conversation_id=response,
                    created_at=at,
                    adapter=CHAMPION,
                    messages=(Message("user", "?" * int(draw.integers(1, 100))),),
                    answers=(Answer(0, "word " * words, "stop", tuple(range(words))),),
                )
            )
            was_asked = bool(draw.random() < asked)
            said: dict[str, float | None] = {"shown": None}
            if was_asked or draw.random() < (0.25 if device == "mobile" else 0.7):
                said["like" if liked else "dislike"] = None
            said["dwell"] = float(np.exp(0.8 * np.log(words) - 1 + 0.6 * liked + draw.normal(0, 0.4)))
            for signal, value in said.items():
                more = {"solicited": asked} if was_asked and signal == "shown" else {}
                events.append(
                    event(response, signal, value=value, derived_at=at + 1, user_key=key, device=device, **more)
                )
            here = bool(draw.random() < (0.95 if liked else 0.45))
    put(context, served, events)
