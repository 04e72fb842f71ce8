"""Feedback into PostgreSQL, a polled batch at once: few statements, each over all rows.

A label job may take a label between a look and the commit, so what was heard is never taken for all of an answer that
has rows in the ledger: those rows are read before the INSERT, which also tells repetitions apart.
"""

from collections.abc import Mapping, Sequence

from ingest.lots import Lot, columns_of
from ingest.provisional import Answer, by_answer
from ingest.rows import EVENT_ID, RESPONSE_ID, SIGNAL, LedgerRow, same_content
from ingest.standing import BITS_AT, NOBODY, NOTHING, Label
from ingest.writers import Writer, responses_of

Place = tuple[Lot, int]


class BatchWriter(Writer):
    """See `ingest.writers`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rows: list[LedgerRow] = []
        self._lots: list[Lot] = []

    def add(self, lot: Lot) -> None:
        self._lots.append(lot)
        self._rows += lot.ledger_rows()

    def finish(self) -> None:
        known = self._repository.told({row[RESPONSE_ID] for row in self._rows})
        fresh = self._insert(known)
        if not fresh:
            return
        self._take_in(columns_of(fresh))
        ledgered = by_answer(known)
        with_past = responses_of(ledgered)
        responses = sorted(self._heard.fast())
        past = ((place, NOTHING, NOBODY) for place, response in enumerate(responses) if response in with_past)
        _, new = self._heard.compare(responses, past)
        slow = self._heard.slow
        facts = self._repository.owners({*responses_of(slow), *new})
        self._first_labels(new, {name: fact[2] + self.makes.labelling.window_seconds for name, fact in facts.items()})
        self._from_ledgers(_ledgers(slow, ledgered, fresh), facts)

    def _first_labels(self, new: Mapping[str, Label], closings: Mapping[str, float]) -> None:
        """Labels of answers that have none; where the interaction is unknown, or the window over, they become slow."""
        said = {bits: self.makes.of_bits(bits) for bits in {label[BITS_AT] for label in new.values()}}
        rows = []
        for response, (bits, voter) in new.items():
            closes_at = closings.get(response, self.now)
            if closes_at <= self.now:
                self._heard.slow.add((response, 0))
            else:
                rows.append((response, 0, *said[bits], self.now, closes_at, voter))
        self._written.put_provisional(rows, self._config_hash, windows_stand=True)
        self.labels += len(rows)

    def _insert(self, known: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Insert what is new and return it; tell the rest apart. Of several rows of one id the first counts."""
        before = {row[EVENT_ID] for row in known}
        candidates: dict[str, LedgerRow] = {}
        for row in self._rows:
            if row[EVENT_ID] not in before:
                candidates.setdefault(row[EVENT_ID], row)
        new = self._repository.insert_events(list(candidates.values()))
        if new == len(self._rows):
            return self._rows
        taken: set[str] = set()
        if new < len(candidates):  # the ledger of every answer was read: what is not with its own is about another one
            there = self._repository.events(candidates)
            taken = {event_id for event_id, row in candidates.items() if not same_content(there[event_id], row)}
        stored = self._repository.events(taken | (before & {row[EVENT_ID] for row in self._rows}))
        for row, place in zip(self._rows, self._places(), strict=True):
            event_id = row[EVENT_ID]
            if candidates.get(event_id) is row and event_id not in taken:
                continue
            if same_content(stored.get(event_id) or candidates[event_id], row):
                self.duplicates += 1
            else:
                self.conflicts.append(place)
        return [row for row in candidates.values() if row[EVENT_ID] not in taken]

    def _places(self) -> list[Place]:
        return [(lot, index) for lot in self._lots for index in range(len(lot.rows))]


def _ledgers(
    slow: set[Answer], ledgered: Mapping[Answer, list[LedgerRow]], fresh: Sequence[LedgerRow]
) -> dict[Answer, list[LedgerRow]]:
    """All rows of the slow answers: what was read before and the fresh ones."""
    ledgers = {answer: list(ledgered.get(answer, ())) for answer in slow}
    if ledgers:
        for row in fresh:
            some = ledgers.get(row[RESPONSE_ID:SIGNAL])
            if some is not None:
                some.append(row)
    return ledgers
