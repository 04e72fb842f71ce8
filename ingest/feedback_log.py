"""Rows of feedback onto the log: split by partition, encoded as segments, as large as a record may be."""

from collections import defaultdict
from collections.abc import Sequence

from infra.contracts import stable_hash, stable_hashes
from infra.runtime import Context
from ingest.appending import Lot, SharedAppends
from ingest.rows import RESPONSE_ID, Row
from ingest.segments import encode_segment
from ingest.topics import feedback_topic

RECORD_OVERHEAD_BYTES = 1024
"""Room left in a record for its key and headers."""


class FeedbackLog:
    """The topic of feedback as one front end writes it. Belongs to one event loop."""

    def __init__(self, context: Context) -> None:
        self._log = context.event_log
        self._topic = feedback_topic(context.settings)
        self._max_bytes = context.settings.event_log.max_record_bytes - RECORD_OVERHEAD_BYTES
        self._appends = SharedAppends(self._log, self._topic, self._max_bytes)
        self._partitions = 0

    def lots(self, rows: Sequence[Row], project: str, received_at: float, source: str) -> tuple[list[Lot], set[int]]:
        """(segments to append, `id()` of the rows that are too large for any record). Raises EventLogUnavailable."""
        if not self._partitions:
            self._log.ensure_topic(self._topic)
            self._partitions = self._log.partitions(self._topic)
        lots: list[Lot] = []
        too_large: set[int] = set()
        shared = (project, received_at, source)
        if len(rows) == 1:
            self._fill(lots, too_large, stable_hash(rows[0][RESPONSE_ID], self._partitions), [rows[0]], shared)
            return lots, too_large
        by_partition: defaultdict[int, list[Row]] = defaultdict(list)
        # Hashed anew each time: a memory of so many answers costs more in cache misses than it saves.
        partitions = stable_hashes([row[RESPONSE_ID] for row in rows], self._partitions)
        for partition, row in zip(partitions, rows, strict=True):
            by_partition[partition].append(row)
        for partition, some in by_partition.items():
            self._fill(lots, too_large, partition, some, shared)
        return lots, too_large

    async def append(self, lots: Sequence[Lot]) -> None:
        """Returns when all are durable. Raises EventLogUnavailable."""
        await self._appends.append(lots)

    def _fill(
        self, lots: list[Lot], too_large: set[int], partition: int, rows: list[Row], shared: tuple[str, float, str]
    ) -> None:
        segment = encode_segment(*shared, rows)
        if len(segment) < self._max_bytes:
            lots.append(Lot(partition, rows[0][RESPONSE_ID].encode(), segment))
        elif len(rows) == 1:
            too_large.add(id(rows[0]))
        else:
            middle = len(rows) // 2
            self._fill(lots, too_large, partition, rows[:middle], shared)
            self._fill(lots, too_large, partition, rows[middle:], shared)
