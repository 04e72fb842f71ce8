"""Tombstones: what was erased stays erased, whatever is replayed, delivered again or restored.

Three things stand in for erased rows: the ids of events, the ids of responses, and a one-way digest of the person's
key with the instant up to which the person was erased. The digest catches what no list of ids can: records that had
not been applied yet when the person was erased, and rows of a restored backup.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection

from infra.contracts import FeedbackEvent, Interaction
from ingest.erasure.mentions import ids_in
from ingest.erasure.repository import Bounds, TombstoneRepository, projects_with_erasures
from ingest.rows import EVENT_ID, OTHER, RECEIVED_AT, RESPONSE_ID, USER_KEY, LedgerRow

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
USER_KEY_TOKEN = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")

MAX_IDS = 50_000
"""So many words of a dead letter are looked up at most: thousands of events have fewer."""


def person_digest(project: str, user_key: str) -> str:
    """SHA-256, 64 hex digits, that stands for an erased person.

    User keys are 128 bits of HMAC output: nobody finds one by trying, so the digest alone says nothing about anybody.
    """
    return hashlib.sha256(f"plaudit erased person\0{project}\0{user_key}".encode()).hexdigest()


def erased(connection: Connection, project: str, event_ids: Collection[str]) -> set[str]:
    """Those of `event_ids` that were erased: count them, never store them again.

    Where nothing was erased, or all ids are newer than every erased one, this costs one small query.
    """
    repository = TombstoneRepository(connection, project)
    bounds = repository.bounds()
    return repository.known("event", _within(event_ids, bounds.first_event, bounds.last_event))


def erased_responses(connection: Connection, project: str, response_ids: Collection[str]) -> set[str]:
    """Those of `response_ids` that were erased. Costs as `erased` does."""
    repository = TombstoneRepository(connection, project)
    bounds = repository.bounds()
    return repository.known("response", _within(response_ids, bounds.first_response, bounds.last_response))


def any_erased(connection: Connection, project: str) -> bool:
    """Whether anything of this project was ever erased; one small query."""
    return any(bound is not None for bound in TombstoneRepository(connection, project).bounds())


def erased_items(connection: Connection, project: str, items: Sequence[FeedbackEvent | Interaction]) -> set[int]:
    """Indexes of the items that must not be stored: call it in the transaction that would insert them.

    An item is erased when its own id is, when an answer it speaks of is, or when it is older than the erasure of the
    person who made it. The last kind leaves tombstones, so that what refers to it falls as well.
    """
    screen = Screen.of(connection, project)
    return screen.erased([trace_of(item) for item in items]) if screen is not None else set()


def erased_rows(connection: Connection, project: str, rows: Sequence[LedgerRow]) -> set[int]:
    """As `erased_items`, for rows of the ledger (`ingest.rows`): where nothing was erased, one small query."""
    screen = Screen.of(connection, project)
    if screen is None:
        return set()
    return screen.erased(
        [Trace(row[EVENT_ID], row[RESPONSE_ID], row[OTHER], row[USER_KEY], row[RECEIVED_AT]) for row in rows]
    )


def erased_letters(connection: Connection, letters: Sequence[tuple[str, bytes]]) -> set[int]:
    """Indexes of the dead letters, given as (project, raw bytes), that speak of an erased event, answer or person.

    A letter nobody can place (project "") is held against every project with erasures.
    """
    if not letters:
        return set()
    gone: set[int] = set()
    for project in projects_with_erasures(connection):
        repository = TombstoneRepository(connection, project)
        digests = repository.people(float("-inf")).keys()
        for index, (owner, raw) in enumerate(letters):
            if owner in (project, "") and _speaks_of_erased(repository, project, digests, raw):
                gone.add(index)
    return gone


def _speaks_of_erased(repository: TombstoneRepository, project: str, digests: Collection[str], raw: bytes) -> bool:
    ids = {item.decode() for item in UUID.findall(raw)}
    if repository.known("event", ids) or repository.known("response", ids | {f"chatcmpl-{item}" for item in ids}):
        return True
    if repository.known("response", set(islice(ids_in(raw), MAX_IDS))):  # of answers imported under ids of their own
        return True
    return any(person_digest(project, key.decode()) in digests for key in USER_KEY_TOKEN.findall(raw))


class Trace(NamedTuple):
    """What tells whether an item is erased. `event_id` None: an interaction. `at`: when it came to us, Unix seconds."""

    event_id: str | None
    response_id: str
    other_response_id: str | None
    user_key: str | None
    at: float

    @property
    def responses(self) -> tuple[str, ...]:
        """The responses it speaks of."""
        other = self.other_response_id
        return (self.response_id,) if other is None else (self.response_id, other)


def trace_of(item: FeedbackEvent | Interaction) -> Trace:
    """The trace of an event or interaction."""
    if isinstance(item, FeedbackEvent):
        return Trace(item.event_id, item.response_id, item.other_response_id, item.user_key, item.received_at)
    return Trace(None, item.response_id, None, item.user_key, item.created_at)


@dataclass(frozen=True)
class Screen:
    """The tombstones of a project as one transaction sees them."""

    repository: TombstoneRepository
    project: str
    bounds: Bounds

    @classmethod
    def of(cls, connection: Connection, project: str) -> "Screen | None":
        """None where nothing was ever erased: then nothing needs to be looked at. One small query."""
        repository = TombstoneRepository(connection, project)
        bounds = repository.bounds()
        return None if all(bound is None for bound in bounds) else cls(repository, project, bounds)

    def erased(self, traces: Sequence[Trace]) -> set[int]:
        """Indexes of the traces that are erased; see `erased_items`.

        They came over the log and still stand there: the newest erasure is open again until the job `retention` has
        taken them out.
        """
        gone = self._by_event(traces) | self._by_response(traces)
        gone |= self._by_person(traces, gone)
        if gone:
            self.repository.reopen()
        return gone

    def _by_event(self, traces: Sequence[Trace]) -> set[int]:
        ids = {trace.event_id for trace in traces if trace.event_id is not None}
        known = self.repository.known("event", _within(ids, self.bounds.first_event, self.bounds.last_event))
        return {index for index, trace in enumerate(traces) if trace.event_id in known} if known else set()

    def _by_response(self, traces: Sequence[Trace]) -> set[int]:
        named = {name for trace in traces for name in trace.responses}
        known = self.repository.known("response", _within(named, self.bounds.first_response, self.bounds.last_response))
        return {index for index, trace in enumerate(traces) if known.intersection(trace.responses)} if known else set()

    def _by_person(self, traces: Sequence[Trace], gone: set[int]) -> set[int]:
        before = self.bounds.people_before
        if before is None:
            return set()
        old = [i for i, trace in enumerate(traces) if trace.user_key and trace.at <= before and i not in gone]
        if not old:
            return set()
        people = self.repository.people(min(traces[index].at for index in old))
        found: set[int] = set()
        for index in old:
            trace = traces[index]
            erased_before, erasure_id = people.get(person_digest(self.project, trace.user_key or ""), (-1.0, ""))
            if trace.at <= erased_before:
                found.add(index)
                kind, item_id = ("response", trace.response_id) if trace.event_id is None else ("event", trace.event_id)
                self.repository.add(kind, [item_id], erasure_id, erased_before)
        return found


def _within(ids: Collection[str], first: str | None, last: str | None) -> set[str]:
    if first is None or last is None:
        return set()
    return {item_id for item_id in ids if first <= item_id <= last}
