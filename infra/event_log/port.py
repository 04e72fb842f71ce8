"""The port of the event log: append a batch and wait until durable; consume by group, partition and offset.

Two adapters stand behind it, one conformance suite in `tests/conformance` runs against both.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

import msgspec

from infra.contracts.errors import PlauditError

POLL_BYTES = 32 * 1024 * 1024
"""A poll stops collecting once it holds this much, whatever `max_records` says."""

Done = Callable[[BaseException | None], None]
"""Called with None once something is durable, or with the error for which it is not."""

KEPT_FOR_EVER = ".erasures"
"""Topics of this ending are never cut: a store restored from a backup of any age must find them whole."""


class EventLogUnavailable(PlauditError):
    """The log did not acknowledge in time: nothing was accepted; try again later."""

    code = "event_log_unavailable"
    status = 503


class UnknownTopic(PlauditError):
    """The topic does not exist: call `ensure_topic` first."""

    code = "unknown_topic"
    status = 500


class PartitionNotAssigned(PlauditError):
    """This member of the group does not read that partition now."""

    code = "partition_not_assigned"
    status = 409


class Record(msgspec.Struct, frozen=True):
    """One record to append. `partition` None: chosen by a stable hash of `key`."""

    key: bytes
    value: bytes
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Position(msgspec.Struct, frozen=True):
    """Where a durable record stands."""

    topic: str
    partition: int
    offset: int


class StoredRecord(msgspec.Struct, frozen=True):
    """One record as read. `timestamp` is Unix seconds of the append."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Consumer(Protocol):
    """One member of a consumer group. Not safe for use by several threads at once."""

    def poll(self, max_records: int, timeout_seconds: float) -> list[StoredRecord]:
        """Up to `max_records` records of the assigned partitions, each partition in order; [] after the timeout.

        The assignment changes only inside this call. The call that assigns a partition returns early and without
        records of it, so that the caller can `seek` first; whatever was returned before is taken as dealt with.
        """
        ...

    def assignment(self) -> frozenset[int]:
        """Partitions this member reads now."""
        ...

    def newly_assigned(self) -> frozenset[int]:
        """Partitions assigned since the last call and not sought since: seek each before the next poll, or it starts
        at the group's committed offset, or at the oldest record kept."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on. Raises PartitionNotAssigned."""
        ...

    def position(self, partition: int) -> int:
        """Offset of the next record that poll would return. Raises PartitionNotAssigned."""
        ...

    def commit(self, offsets: dict[int, int]) -> None:
        """Tell the log how far the group is (next offset by partition). For lag tools only: truth is the store's."""
        ...

    def end_offsets(self) -> dict[int, int]:
        """Next offset to be written, by partition of the topic."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...


class EventLog(Protocol):
    """A durable, partitioned, append-only log."""

    def ensure_topic(self, topic: str) -> None:
        """Create the topic if it is missing."""
        ...

    def topic_identity(self, topic: str) -> str:
        """An id that changes when the topic is deleted and made anew, so that stored offsets are never misapplied."""
        ...

    def partitions(self, topic: str) -> int:
        """Number of partitions. Raises UnknownTopic."""
        ...

    def append(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        """Append all records; the future resolves once every one is durable, in order of `records`.

        Fails with EventLogUnavailable; then any subset may have been written, so the caller retries with the same ids.
        Raises UnknownTopic or InvalidRecord (out of range, too large) at once: trying again would not help.
        """
        ...

    def consumer(self, topic: str, group: str) -> Consumer: ...

    def healthy(self) -> str | None:
        """None when the log answers, else what is wrong."""
        ...

    def close(self) -> None:
        """Flush what was accepted, then release everything."""
        ...


@runtime_checkable
class KeepsLocally(Protocol):
    """A log that can also make records durable on this host's disk at once and hand them on later."""

    def keep(self, topic: str, records: Sequence[Record]) -> "Future[list[Position]]":
        """As `EventLog.append`, but never waits for a server."""
        ...

    def keeping_problem(self) -> str | None:
        """None when `keep` takes records, else what is wrong."""
        ...


@runtime_checkable
class KeepsFromLoop(KeepsLocally, Protocol):
    """A log that keeps what an event loop gives it without a thread of this process: each wait for the interpreter's
    lock would be the loop's."""

    def keep_from_loop(
        self, loop: asyncio.AbstractEventLoop, topic: str, records: Sequence[Record], done: Done
    ) -> bool:
        """As `keep`, called on `loop`, which calls `done` later: with None once every record is durable, or with an
        error. False, and nothing was done: it cannot be had now, `keep` is to be used."""
        ...

    def tend(self) -> None:
        """Start and watch over what `keep_from_loop` needs; blocks. To be called about once a second by a thread."""
        ...

    def leave(self) -> None:
        """The loop is about to end, and nothing more comes from it; called on it."""
        ...
