"""Tombstones: what was erased stays erased, whatever is replayed, delivered again or restored.

Three things stand in for erased rows: the ids of events, the ids of responses, and a one-way digest of the person's
key with the instant up to which the person was erased. The digest catches what no list of ids can: records that had
not been applied yet when the person was erased, and rows of a restored backup.
"""

import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from infra.contracts import FeedbackEvent, Interaction
from ingest.erasure.repository import Bounds, TombstoneRepository


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
    repository = TombstoneRepository(connection, project)
    bounds = repository.bounds()
    gone: set[int] = set()
    if bounds.first_event is not None:
        gone |= _by_event(repository, bounds, items)
    if bounds.first_response is not None:
        gone |= _by_response(repository, bounds, items)
    if bounds.people_before is not None:
        gone |= _by_person(repository, project, bounds.people_before, items)
    return gone


def _by_event(
    repository: TombstoneRepository, bounds: Bounds, items: Sequence[FeedbackEvent | Interaction]
) -> set[int]:
    ids = {index: item.event_id for index, item in enumerate(items) if isinstance(item, FeedbackEvent)}
    known = repository.known("event", _within(ids.values(), bounds.first_event, bounds.last_event))
    return {index for index, event_id in ids.items() if event_id in known}


def _by_response(
    repository: TombstoneRepository, bounds: Bounds, items: Sequence[FeedbackEvent | Interaction]
) -> set[int]:
    named = {name for item in items for name in responses_of(item)}
    known = repository.known("response", _within(named, bounds.first_response, bounds.last_response))
    return {index for index, item in enumerate(items) if known.intersection(responses_of(item))}


def _by_person(
    repository: TombstoneRepository,
    project: str,
    people_before: float,
    items: Sequence[FeedbackEvent | Interaction],
) -> set[int]:
    old = {index: item for index, item in enumerate(items) if item.user_key and instant_of(item) <= people_before}
    if not old:
        return set()
    people = repository.people(min(instant_of(item) for item in old.values()))
    gone: set[int] = set()
    for index, item in old.items():
        before, erasure_id = people.get(person_digest(project, item.user_key or ""), (float("-inf"), ""))
        if instant_of(item) <= before:
            gone.add(index)
            kind, item_id = (
                ("event", item.event_id) if isinstance(item, FeedbackEvent) else ("response", item.response_id)
            )
            repository.add(kind, [item_id], erasure_id, before)
    return gone


def responses_of(item: FeedbackEvent | Interaction) -> tuple[str, ...]:
    """The responses an item speaks of."""
    other = item.other_response_id if isinstance(item, FeedbackEvent) else None
    return (item.response_id,) if other is None else (item.response_id, other)


def instant_of(item: FeedbackEvent | Interaction) -> float:
    """When the item came to us: an erasure covers what came before it."""
    return item.received_at if isinstance(item, FeedbackEvent) else item.created_at


def _within(ids: Collection[str], first: str | None, last: str | None) -> set[str]:
    if first is None or last is None:
        return set()
    return {item_id for item_id in ids if first <= item_id <= last}
