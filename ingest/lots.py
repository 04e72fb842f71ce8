"""A polled batch in lots small enough to stay in the processor's cache from the record to the INSERT.

A transaction holds ten thousand events and more. Whatever goes over all of them for each step (decode, check, bind,
hear) waits for memory at every step, which costs more than the steps themselves; so all of this is done for a few
hundred events before the next are looked at. What must be done once a transaction, labels, comes afterwards, from what
the lots leave behind.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from math import inf
from operator import attrgetter
from typing import Any

from infra.contracts import FeedbackEvent
from infra.event_log.port import StoredRecord
from ingest.codec import FEEDBACK_CODEC, DeadLetter, Placed
from ingest.columns import all_right
from ingest.rows import LedgerRow, Row, row_of
from ingest.segments import Segment, decode_segments, header_problem, is_segmented
from ingest.unreadable import UNREADABLE

LOT_BYTES = 32_768
"""Of values of records, about 200 events: below, what is done once for a lot shows; above, the cache ends."""

Columns = Sequence[tuple[Any, ...]]
"""A column of a Row each."""


@dataclass(slots=True)
class Lot:
    """Valid events of one project that came through one door. `received_at`: one for each row."""

    project: str
    source: str
    rows: Sequence[Row]
    received_at: Sequence[float]
    columns: Columns
    placed: Callable[[], Sequence[Placed[FeedbackEvent]]]
    """The same events with their places: worked out only when something is wrong with one."""

    def picked(self, indexes: Sequence[int]) -> "Lot":
        """Some of the rows."""
        rows = [self.rows[index] for index in indexes]

        def placed() -> Sequence[Placed[FeedbackEvent]]:
            whole = self.placed()
            return [whole[index] for index in indexes]

        received_at = [self.received_at[index] for index in indexes]
        return Lot(self.project, self.source, rows, received_at, columns_of(rows), placed)

    def ledger_rows(self) -> list[LedgerRow]:
        """The rows with what they share."""
        project, source = self.project, self.source
        return [(*row, project, at, source) for row, at in zip(self.rows, self.received_at, strict=True)]


def columns_of(rows: Sequence[Row]) -> Columns:
    """Rows by column; of none, none."""
    return list(zip(*rows, strict=True))


def lots_of(records: Sequence[StoredRecord], letters: list[DeadLetter]) -> Iterator[Lot]:
    """The valid events of records, in their order as far as one project and door go; `letters` gets the others."""
    waiting: list[StoredRecord] = []
    size = 0
    for record in _by_time(records):
        if not is_segmented(record.value):
            yield from _by_event([record], letters)
            continue
        waiting.append(record)
        size += len(record.value)
        if size >= LOT_BYTES:
            yield from _segmented(waiting, letters)
            waiting, size = [], 0
    yield from _segmented(waiting, letters)


def _by_time(records: Sequence[StoredRecord]) -> Iterator[StoredRecord]:
    """Records of several partitions as they were written, each partition's in its own order. A poll gives one partition
    after the other, each of which goes over the whole time of the poll again: ids that begin with a time would be put
    in between those of the partition before, all over the index, and not at its end."""
    partitions: defaultdict[int, list[StoredRecord]] = defaultdict(list)
    for record in records:
        partitions[record.partition].append(record)
    return merge(*partitions.values(), key=attrgetter("timestamp"))


def _segmented(records: list[StoredRecord], letters: list[DeadLetter]) -> Iterator[Lot]:
    try:
        segments = [segment for record in records for segment in decode_segments(record.value)]
    except UNREADABLE:
        yield from _by_event(records, letters)
        return
    together: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        together.setdefault((segment.project, segment.source), []).append(segment)
    lots = [_lot(shared, some, records) for shared, some in together.items()]
    if None in lots:
        yield from _by_event(records, letters)
    else:
        yield from [lot for lot in lots if lot is not None and lot.rows]


def _lot(shared: tuple[str, str], segments: list[Segment], records: list[StoredRecord]) -> Lot | None:
    """None where anything is wrong with any of the events."""
    rows: list[Row] = []
    received_at: list[float] = []
    for segment in segments:
        rows += segment.rows
        received_at += [segment.received_at] * len(segment.rows)
    columns = columns_of(rows)
    if header_problem(segments[0]) is not None or (
        rows and not (max(received_at) < inf and all_right(rows, columns, received_at))
    ):
        return None

    def placed() -> Sequence[Placed[FeedbackEvent]]:
        return [one for record in records for one in FEEDBACK_CODEC.decode(record)[0] if _shared(one.item) == shared]

    return Lot(*shared, rows, received_at, columns, placed)


def _by_event(records: Iterable[StoredRecord], letters: list[DeadLetter]) -> Iterator[Lot]:
    together: dict[tuple[str, str], list[Placed[FeedbackEvent]]] = {}
    for record in records:
        placed, refused = FEEDBACK_CODEC.decode(record)
        letters += refused
        for one in placed:
            together.setdefault(_shared(one.item), []).append(one)
    for shared, some in together.items():
        rows = [row_of(one.item) for one in some]
        received_at = [one.item.received_at for one in some]
        yield Lot(*shared, rows, received_at, columns_of(rows), lambda some=some: some)  # type: ignore[misc]


def _shared(event: FeedbackEvent) -> tuple[str, str]:
    return event.project, event.source
