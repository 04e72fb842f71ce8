"""Every answer is durable as an interaction before its response ends (contract 3).

Durable means: on this host's disk, in the spool, from where records go on to the log by themselves, so that no answer
waits for a broker or for a commit. What ends while an append is under way shares the next one: an append costs a
wake-up, a flush of the disk and a callback, whatever its size.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import structlog

from infra.contracts import Interaction, PlauditError, stable_hash
from infra.event_log import EventLog, Record
from infra.event_log.partitioning import InvalidRecord
from infra.event_log.port import EventLogUnavailable, KeepsFromLoop, KeepsLocally
from infra.metrics import catalogue as metrics
from infra.runtime.inline import InlineFuture
from infra.settings import Settings
from ingest.appending import settle
from ingest.codec import INTERACTION_CODEC
from ingest.topics import interactions_topic
from serving.mailbox import Mailbox

log = structlog.get_logger()

HEALTH_EVERY_SECONDS = 1.0
APPENDS_UNDER_WAY = 2
"""One that is being made durable, one that its writer finds waiting when it is done."""
APPENDS_APART = 1
"""The same where another process does it: what comes meanwhile is the next one. An append costs the event loop more
than anything that it holds."""
RECORD_OVERHEAD_BYTES = 1024
_APPEND_BYTES = 4 * 1024 * 1024


class LogUnhealthy(PlauditError):
    """The log would not take the interaction: nothing is generated that could not be learned from."""

    code = "event_log_unavailable"
    status = 503


class _Waiting(NamedTuple):
    partition: int
    key: bytes
    encoded: bytes
    done: InlineFuture


def _none() -> str | None:
    return None


class Recorder:
    """Appends interactions; each call resolves once its interaction is durable. `record` belongs to one event loop."""

    def __init__(self, event_log: EventLog, settings: Settings) -> None:
        self._log = event_log
        self._append, self._keeping_problem = event_log.append, _none
        if isinstance(event_log, KeepsLocally):
            self._append, self._keeping_problem = event_log.keep, event_log.keeping_problem
        self._from_loop = event_log if isinstance(event_log, KeepsFromLoop) else None
        self._topic = interactions_topic(settings)
        self._most_bytes = settings.event_log.max_record_bytes - RECORD_OVERHEAD_BYTES
        self._unlogged_is_fine = settings.serving.serve_unlogged
        self._partitions = 0
        self._wrong: str | None = "it was not asked yet"
        self._waiting: list[_Waiting] = []
        self._under_way = 0
        self._apart = False  # whether the last append went to another process
        self._flushing = False
        self._mailbox: Mailbox | None = None

    def observe(self) -> None:
        """Ask the log how it is; blocks. To be called every `HEALTH_EVERY_SECONDS` by a thread of its own."""
        try:
            if not self._partitions:
                self._log.ensure_topic(self._topic)
                self._partitions = self._log.partitions(self._topic)
            self._wrong = self._log.healthy() or self._keeping_problem()
            if self._from_loop is not None:
                self._from_loop.tend()
        except PlauditError as error:
            self._wrong = error.message

    def leave(self) -> None:
        """The event loop is about to end, and everything is recorded; called on it."""
        if self._from_loop is not None:
            self._from_loop.leave()

    def check(self) -> None:
        """Raises LogUnhealthy when the log, as last observed, takes nothing; never blocks."""
        if self._wrong is not None and not self._unlogged_is_fine:
            raise LogUnhealthy(f"the event log does not take answers now ({self._wrong}): try again in a few seconds")

    async def record(self, interaction: Interaction) -> bool:
        """Returns once the interaction is durable: True; or at once, False, where answers may go out unlogged and the
        log takes nothing. Raises EventLogUnavailable, InvalidRecord."""
        try:
            await self._recorded(interaction)
        except PlauditError as error:
            if not self._unlogged_is_fine:
                metrics.SERVING_INTERACTIONS_LOST.inc()
                raise
            metrics.SERVING_UNLOGGED.inc()
            log.warning("answer_unlogged", response_id=interaction.response_id, code=error.code)
            return False
        return True

    def _recorded(self, interaction: Interaction) -> InlineFuture:
        if not self._partitions:
            raise EventLogUnavailable("the event log has not answered since the start: try again in a few seconds")
        encoded = INTERACTION_CODEC.encode([interaction])[1:]  # without the header of its array
        if len(encoded) > self._most_bytes:
            raise InvalidRecord(
                f"the interaction has {len(encoded)} bytes, more than a record may: send a shorter prompt, or raise "
                "event_log.max_record_bytes",
                status=413,
            )
        loop = asyncio.get_running_loop()
        partition = stable_hash(interaction.response_id, self._partitions)
        waiting = _Waiting(partition, interaction.response_id.encode(), encoded, InlineFuture())
        self._waiting.append(waiting)
        self._flush_soon(loop)
        return waiting.done

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        most = APPENDS_APART if self._apart else APPENDS_UNDER_WAY
        if not self._waiting or self._flushing or self._under_way >= most:
            return
        if self._apart and not self._under_way:
            self._flush(loop)  # the process is idle
        else:
            self._flushing = True
            loop.call_soon(self._flush, loop)  # after the other answers of this turn of the loop

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing = False
        if self._mailbox is None:
            self._mailbox = Mailbox(loop)
        mailbox, taken = self._mailbox, self._take()
        if taken:
            landed = partial(self._landed, loop, taken)
            try:
                records = _records(taken, self._most_bytes)
                self._apart = self._from_loop is not None and self._from_loop.keep_from_loop(
                    loop, self._topic, records, landed
                )
                if not self._apart:
                    future = self._append(self._topic, records)
                    future.add_done_callback(lambda done: mailbox.post(landed, done.exception()))
            except Exception as error:  # whatever it was, they must not wait for ever
                settle(taken, error)
            else:
                self._under_way += 1
        self._flush_soon(loop)

    def _take(self) -> list[_Waiting]:
        size, count = 0, 0
        while count < len(self._waiting) and size < _APPEND_BYTES:
            size += len(self._waiting[count].encoded)
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _landed(self, loop: asyncio.AbstractEventLoop, taken: Sequence[_Waiting], error: BaseException | None) -> None:
        self._under_way -= 1
        settle(taken, error)
        self._flush_soon(loop)


def _records(taken: Sequence[_Waiting], most_bytes: int) -> list[Record]:
    """As few records as may be: each is a msgpack array of interactions of one partition."""
    by_partition: defaultdict[int, list[_Waiting]] = defaultdict(list)
    for waiting in taken:
        by_partition[waiting.partition].append(waiting)
    made: list[Record] = []
    for partition, some in by_partition.items():
        start, size = 0, 0
        for place, waiting in enumerate(some):
            if place > start and size + len(waiting.encoded) > most_bytes:
                made.append(_record(partition, some[start:place]))
                start, size = place, 0
            size += len(waiting.encoded)
        made.append(_record(partition, some[start:]))
    return made


def _record(partition: int, some: Sequence[_Waiting]) -> Record:
    count = len(some)
    header = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2) if count < 1 << 16 else b""
    if not header:
        header = b"\xdd" + count.to_bytes(4)
    return Record(key=some[0].key, value=header + b"".join([one.encoded for one in some]), partition=partition)
