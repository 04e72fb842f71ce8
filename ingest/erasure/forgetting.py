"""Taking a person out of the store, inside the caller's transaction: rows, tombstones, and what depended on the rows.

The same steps serve the command, which knows the person's keys, and the consumer of the topic of erasures, which knows
only ids and digests.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from infra.contracts import Interaction
from infra.contracts.content import content_key
from ingest.erasure.artefacts_repository import ArtefactRepository, Taint
from ingest.erasure.letters import Needles, literals
from ingest.erasure.repository import TombstoneRepository
from ingest.erasure.rows_repository import EventIds, RowsRepository
from ingest.erasure.tombstones import person_digest
from ingest.labelling import remake
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository


@dataclass(frozen=True)
class Whom:
    """Who is erased, up to the instant `before` (Unix seconds). `events` and `responses` are known ids; `digests` those
    of the keys, also where a key itself is not known."""

    erasure_id: str
    project: str
    before: float
    keys: frozenset[str]
    raw_id: str | None = None
    digests: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    responses: frozenset[str] = frozenset()

    @property
    def all_digests(self) -> frozenset[str]:
        return self.digests | {person_digest(self.project, key) for key in self.keys}


@dataclass
class Forgotten:
    """What was taken out. `touched`: other people's answers the person had reacted to; their labels are made anew."""

    events: set[str]
    responses: set[str]
    touched: set[str]
    counts: dict[str, int] = field(default_factory=dict)
    tainted: list[Taint] = field(default_factory=list)
    content: set[str] = field(default_factory=set)


def forget(connection: Connection, whom: Whom, labelling: Labelling, now: float) -> Forgotten:
    """Delete the person's rows and everything about their answers, set tombstones, remake what others are left with.

    An event about an erased answer goes, whoever sent it: there is nothing left that it could speak of. The labels of
    other people's answers are emptied in every version (each counted the person's vote) and made anew from the votes of
    the others. Doing it twice changes nothing.
    """
    rows = RowsRepository(connection, whom.project)
    rows.prepare()
    responses = rows.responses_of(whom.keys, whom.before) | whom.responses
    found = rows.events_of(whom.keys, whom.before) + rows.events_about(responses) + rows.events_by_id(whom.events)
    gone = Forgotten(
        events={event.event_id for event in found} | whom.events,
        responses=set(responses),
        touched={event.response_id for event in found} - responses,
        content=content_keys(rows.payloads(responses)) | _edited(rows, found),
    )
    gone.tainted = _tainted(connection, whom.project, rows, gone, found)
    _delete(rows, whom, gone)
    _bury(TombstoneRepository(connection, whom.project), whom, gone)
    ArtefactRepository(connection, whom.project).mark(gone.tainted, whom.erasure_id, now)
    remake(FeedbackRepository(connection, whom.project), whom.project, gone.touched, labelling, now)
    return gone


def _tainted(
    connection: Connection, project: str, rows: RowsRepository, gone: Forgotten, found: Collection[EventIds]
) -> list[Taint]:
    artefacts = ArtefactRepository(connection, project)
    concerned = gone.responses | gone.touched
    reacted = [event.received_at for event in found] + rows.learnable_at(concerned)
    return artefacts.learned_from(
        rows.answered_at(concerned), min(reacted, default=float("inf")), artefacts.asked_at(gone.responses)
    )


def _delete(rows: RowsRepository, whom: Whom, gone: Forgotten) -> None:
    counts: Counter[str] = Counter()
    counts.update(rows.blank_labels(gone.touched))
    counts.update(rows.delete_events(gone.events))
    counts.update(rows.delete_about(gone.responses))
    counts.update(rows.delete_people(whom.keys, whom.before))
    needles = Needles(whom.project, literals(whom.keys, whom.raw_id), whom.all_digests, gone.events | gone.responses)
    letters = [letter_id for letter_id, raw in rows.letters() if needles.found_in(raw)]
    counts["dead_letters"] += rows.delete_letters(letters)
    gone.counts = {table: count for table, count in sorted(counts.items()) if count}


def _bury(tombstones: TombstoneRepository, whom: Whom, gone: Forgotten) -> None:
    tombstones.add("event", gone.events, whom.erasure_id, whom.before)
    tombstones.add("response", gone.responses, whom.erasure_id, whom.before)
    tombstones.add_people(whom.all_digests, whom.erasure_id, whom.before)


def content_keys(payloads: Iterable[bytes]) -> set[str]:
    """The names under which derived files know the answers of these interactions."""
    decoded = (msgspec.msgpack.decode(payload, type=Interaction) for payload in payloads)
    return {content_key(one.messages, answer.text) for one in decoded for answer in one.answers}


def _edited(rows: RowsRepository, found: Collection[EventIds]) -> set[str]:
    """The same for what people made of answers: reward models read edited texts as answers to the same prompt."""
    edits = rows.edits({event.event_id for event in found})
    payloads = rows.payloads({response_id for response_id, _ in edits})
    served = {
        one.response_id: one for one in (msgspec.msgpack.decode(payload, type=Interaction) for payload in payloads)
    }
    return {content_key(served[response_id].messages, text) for response_id, text in edits if response_id in served}
