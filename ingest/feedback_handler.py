"""Feedback events off the log into the ledger, and what follows from them: provisional labels, pairs, dead letters.

The hot path of ingest. Events are rows (`ingest.rows`) from the record to the INSERT, and a few steps serve a polled
batch, whatever its size: read what the labels concerned have heard (`ingest.standing`); of answers where that is not
enough, read the ledger; insert; read what is known of the interactions whose labels are new; write labels. What could
not be inserted is a repetition or a conflict.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress, repeat

from sqlalchemy import Connection

from infra.contracts import FeedbackEvent
from infra.event_log.port import StoredRecord
from ingest.apply import Applied
from ingest.codec import FEEDBACK_CODEC, DeadLetter, Placed
from ingest.erasure.tombstones import erased_rows
from ingest.labelling import remake_pairs
from ingest.labels import Labelling
from ingest.ledger import PAIR_SIGNALS
from ingest.log_repository import LogRepository
from ingest.provisional import ANSWER, CLOSES_AT, Answer, LabelRow, ProvisionalLabels, by_answer
from ingest.provisional_repository import ProvisionalRepository
from ingest.repository import FeedbackRepository
from ingest.rows import EVENT_ID, OTHER, PROJECT, RESPONSE_ID, SIGNAL, LedgerRow, ledger_row_of, same_content
from ingest.segments import is_segmented
from ingest.standing import Standing, hear

CONFLICT = "the event_id is taken by an event with other content; make a new id for every new event"


@dataclass(slots=True)
class Batch:
    """The valid events of a poll as rows, and where each stood."""

    rows: list[LedgerRow]
    letters: list[DeadLetter]
    placed: Callable[[], list[Placed[FeedbackEvent]]]
    """The same events with their places: worked out only when something is wrong with one."""


@dataclass(slots=True)
class Sorted:
    """Rows by what they are to the ledger: new, or (as indexes) in it already, or at odds with it."""

    fresh: list[LedgerRow] = field(default_factory=list)
    known: Sequence[LedgerRow] = ()
    duplicates: int = 0
    conflicts: list[int] = field(default_factory=list)


class FeedbackHandler:
    """See `ingest.apply.Handler`."""

    kind = "feedback"
    codec = FEEDBACK_CODEC

    def __init__(self) -> None:
        self._labels: ProvisionalLabels | None = None

    def apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        with collector_paused():
            return self._apply(connection, records, labelling, now)

    def _apply(
        self, connection: Connection, records: Sequence[StoredRecord], labelling: Labelling, now: float
    ) -> Applied:
        batch = self._read(records)
        applied = Applied(letters=batch.letters)
        log_repository = LogRepository(connection)
        log_repository.lock(_touched(batch.rows))
        projects = sorted({row[PROJECT] for row in batch.rows})
        for project in projects:
            mine = [row[PROJECT] == project for row in batch.rows] if len(projects) > 1 else repeat(True)
            rows = list(compress(batch.rows, mine)) if len(projects) > 1 else batch.rows
            conflicts = self._apply_project(connection, project, rows, labelling, now, applied)
            if conflicts:
                placed = list(compress(batch.placed(), mine))
                for _, record, position in [placed[index] for index in conflicts]:
                    applied.letters.append(self.codec.letter(record, position, "conflict", CONFLICT))
        log_repository.insert_letters(applied.letters)
        return applied

    def _read(self, records: Sequence[StoredRecord]) -> Batch:
        """Segments that are all right come as rows at once; everything else goes event by event."""
        segmented = [record for record in records if is_segmented(record.value)]
        others = [record for record in records if not is_segmented(record.value)]
        rows = self.codec.rows(segmented)
        if rows is None:
            segmented, others, rows = [], list(records), []
        read = [self.codec.decode(record) for record in others]
        rows += [ledger_row_of(one.item) for placed, _ in read for one in placed]
        letters = [letter for _, letters in read for letter in letters]

        def placed() -> list[Placed[FeedbackEvent]]:
            return [one for some in [*map(self.codec.decode, segmented), *read] for one in some[0]]

        return Batch(rows, letters, placed)

    def _apply_project(
        self,
        connection: Connection,
        project: str,
        rows: list[LedgerRow],
        labelling: Labelling,
        now: float,
        applied: Applied,
    ) -> list[int]:
        """Returns the indexes of the rows whose id is taken by other content."""
        repository = FeedbackRepository(connection, project)
        gone = erased_rows(connection, project, rows)
        applied.erased += len(gone)
        written = ProvisionalRepository(connection, project)
        answers = [row[RESPONSE_ID:SIGNAL] for row in rows]
        touched = set(answers)
        standing = written.standing({response_id for response_id, _ in touched}, labelling.config_hash)
        unheard = {response_id for response_id, _ in touched.difference(standing)}
        found = _sort(repository, rows, gone, repository.told(unheard))
        applied.new += len(found.fresh)
        applied.duplicates += found.duplicates
        if found.fresh:
            if found.fresh is not rows:
                answers = [row[RESPONSE_ID:SIGNAL] for row in found.fresh]
            applied.labels += self._relabel(repository, written, found, answers, standing, labelling, now)
            _remake_pairs(repository, project, found.fresh, labelling, now)
        return found.conflicts

    def _relabel(
        self,
        repository: FeedbackRepository,
        written: ProvisionalRepository,
        found: Sorted,
        answers: list[Answer],
        standing: Standing,
        labelling: Labelling,
        now: float,
    ) -> int:
        if self._labels is None or self._labels.labelling is not labelling:
            self._labels = ProvisionalLabels(labelling)
        ledgered = by_answer(found.known)
        heard = hear(standing, ledgered, answers, found.fresh)
        new = heard.new()
        facts = repository.owners({response_id for response_id, _ in (*new, *heard.slow)})
        closings = {response_id: fact[2] + labelling.window_seconds for response_id, fact in facts.items()}
        # Windows of unknown interactions may move yet, and what comes late may change a final label.
        heard.give_up([answer for answer in new if closings.get(answer[0], now) <= now])
        ledgers = _ledgers(repository, zip(answers, found.fresh, strict=True), ledgered, heard.slow, heard.stood)
        known, others = self._labels.rows(ledgers, facts, now)
        written.put_provisional(known, labelling.config_hash, windows_stand=True)
        written.put_provisional(others, labelling.config_hash, windows_stand=False)
        _bring_forward(repository, written, known, labelling.config_hash, now)
        new, moved = heard.new(), heard.moved()
        groups = self._labels.alike(heard.labels, new)
        written.put_heard(groups, closings, heard.labels, now, labelling.config_hash)
        written.move_heard(self._labels.alike(heard.labels, moved), now)
        return len(new) + len(moved) + len(heard.slow)


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a batch makes hundreds of thousands of tuples, none of them in a cycle, and each
    pass of the collector would look at all of them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _touched(rows: Sequence[LedgerRow]) -> Iterator[str]:
    """The responses that rows speak of; looked at only where they have to be locked."""
    for row in rows:
        yield row[RESPONSE_ID]
        if row[OTHER] is not None:
            yield row[OTHER]


def _sort(repository: FeedbackRepository, rows: list[LedgerRow], gone: set[int], known: Sequence[LedgerRow]) -> Sorted:
    """Insert what is new; tell the rest apart. Of several rows of one id in the batch the first counts."""
    before = {row[EVENT_ID] for row in known}
    candidates = {row[EVENT_ID]: row for row in rows}
    if gone or len(candidates) < len(rows) or not before.isdisjoint(candidates):
        candidates = {}
        for index, row in enumerate(rows):
            if row[EVENT_ID] not in before and index not in gone:
                candidates.setdefault(row[EVENT_ID], row)
    last = repository.last_row()
    new = repository.insert_events(list(candidates.values()))
    if new == len(rows):
        return Sorted(rows, known)
    taken = _taken(repository, candidates, last) if new < len(candidates) else set()
    found = Sorted([row for row in candidates.values() if row[EVENT_ID] not in taken], known)
    stored = repository.events(taken | (before & {row[EVENT_ID] for row in rows}))
    for index, row in enumerate(rows):
        event_id = row[EVENT_ID]
        if (candidates.get(event_id) is row and event_id not in taken) or index in gone:
            continue
        if same_content(stored.get(event_id) or candidates[event_id], row):
            found.duplicates += 1
        else:
            found.conflicts.append(index)
    return found


def _taken(repository: FeedbackRepository, candidates: dict[str, LedgerRow], last: int | None) -> set[str]:
    """Those of the candidates that could not be inserted, as their ids were in the ledger."""
    if last is not None:
        return candidates.keys() - repository.added_after(last)
    # Here the ledger of every answer was read before: what is not with its own answer is about another one.
    stored = repository.events(candidates)
    return {event_id for event_id, row in candidates.items() if not same_content(stored[event_id], row)}


def _ledgers(
    repository: FeedbackRepository,
    fresh: Iterable[tuple[Answer, LedgerRow]],
    ledgered: Mapping[Answer, list[LedgerRow]],
    slow: set[Answer],
    stood: set[Answer],
) -> dict[Answer, list[LedgerRow]]:
    """All rows of the slow answers: what was read before and the fresh ones. Of those whose labels stood nothing was
    read; the ledger holds their fresh rows by now."""
    if not slow:
        return {}
    rows = repository.told({response_id for response_id, _ in stood})
    ledgers = {answer: some for answer, some in by_answer(rows).items() if answer in stood}
    ledgers |= {answer: list(ledgered.get(answer, ())) for answer in slow - stood}
    for answer, row in fresh:
        if answer in slow and answer not in stood:
            ledgers[answer].append(row)
    return ledgers


def _bring_forward(
    repository: FeedbackRepository,
    written: ProvisionalRepository,
    rows: Sequence[LabelRow],
    config_hash: str,
    now: float,
) -> None:
    """Where a final label stands, what changes it is due at once: closing has put the row off to the next window.

    Looked up only for answers whose first window is over: none of the others has a final label. And only after the rows
    were written: they are locked by then, so a label job that was at one of them has committed, and is seen.
    """
    late = [row for row in rows if row[CLOSES_AT] <= now]
    if late:
        labelled = repository.labelled(row[ANSWER][0] for row in late)
        due = [row for row in late if row[ANSWER] in labelled]
        written.put_provisional(due, config_hash, windows_stand=False)


def _remake_pairs(
    repository: FeedbackRepository, project: str, fresh: Sequence[LedgerRow], labelling: Labelling, now: float
) -> None:
    responses = {row[RESPONSE_ID] for row in fresh if row[SIGNAL] in PAIR_SIGNALS}
    if responses:
        remake_pairs(repository, project, repository.versions(responses), repository.facts(responses), labelling, now)


FEEDBACK_HANDLER = FeedbackHandler()
