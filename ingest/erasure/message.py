"""Records of the topic of erasures: what a restored store needs in order to erase again. They name nobody."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from infra.event_log import Record
from infra.settings import Settings
from ingest.erasure.artefacts_repository import Taint

IDS_IN_ONE = 20_000
"""Ids in one record: below a megabyte."""


class ErasureMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an erasure. `people` are one-way digests of user keys (`tombstones.person_digest`)."""

    erasure_id: str
    project: str
    erased_at: float
    people: list[str] = []
    events: list[str] = []
    responses: list[str] = []
    tainted: list[Taint] = []
    schema_version: int = 1


_decode = msgspec.json.Decoder(ErasureMessage).decode


def erasures_topic(settings: Settings) -> str:
    """JSON objects of `ErasureMessage`, kept for ever."""
    return f"{settings.event_log.topic_prefix}.erasures"


def decode(value: bytes) -> ErasureMessage:
    """One record's value. Raises one of `ingest.unreadable`."""
    return _decode(value)


def records(message: ErasureMessage) -> list[Record]:
    """The records of one erasure, all in one partition, each below a megabyte."""
    return [Record(message.erasure_id.encode(), msgspec.json.encode(part)) for part in _parts(message)]


def _parts(message: ErasureMessage) -> Iterator[ErasureMessage]:
    """The people stand in every part, the tainted in the first."""
    ids = [(True, item) for item in message.events] + [(False, item) for item in message.responses]
    for start in range(0, max(len(ids), 1), IDS_IN_ONE):
        some = ids[start : start + IDS_IN_ONE]
        yield msgspec.structs.replace(
            message,
            events=_chosen(some, True),
            responses=_chosen(some, False),
            tainted=message.tainted if start == 0 else [],
        )


def _chosen(some: Sequence[tuple[bool, str]], events: bool) -> list[str]:
    chosen: Iterable[str] = (item for is_event, item in some if is_event is events)
    return list(chosen)
