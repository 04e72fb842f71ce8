"""Feedback into SQLite, lot by lot: INSERT, then what is new is heard, while the rows are still in the cache.

SQLite has one writer, and this is it until the commit. So nothing is looked at before the INSERT: rows are numbered
upwards, and where fewer were inserted than given, the new ones are those behind the last row before. A response without
any label has no other row in the ledger (whatever writes a row writes a label; retention takes labels of closed windows
only, and of answers whose window is closed the ledger is read), so its label is what was heard now.
"""

from ingest.by_lots_repository import LotRepository
from ingest.lots import Lot, columns_of
from ingest.provisional import by_answer
from ingest.rows import EVENT_ID, same_content
from ingest.standing import BITS_AT, Label
from ingest.writers import Writer, responses_of


class LotWriter(Writer):
    """See `ingest.writers`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lots = LotRepository(self.connection, self.project)
        self._last = self._lots.last_row()

    def add(self, lot: Lot) -> None:
        count = len(lot.rows)
        inserted, in_order = self._lots.insert(lot)
        if inserted == count:
            self._last += count
            self._take_in(lot.columns)
            return
        if not in_order and len(set(lot.columns[EVENT_ID])) < count:
            # Of several of one id the first counts: once more, in their order.
            self._lots.remove_after(self._last)
            inserted = self._lots.insert_each(lot)
        fresh = self._tell_apart(lot)
        assert len(fresh) == inserted, f"{len(fresh)} rows found of {inserted} inserted"
        self._last += inserted
        if fresh:
            self._take_in(columns_of([lot.rows[index] for index in fresh]))

    def _tell_apart(self, lot: Lot) -> list[int]:
        """The indexes of the rows that were inserted; counts the repetitions among the others, notes the conflicts."""
        inserted = self._lots.added_after(self._last)
        fresh: list[int] = []
        others: list[int] = []
        for index, event_id in enumerate(lot.columns[EVENT_ID]):
            if event_id in inserted:
                inserted.remove(event_id)
                fresh.append(index)
            else:
                others.append(index)
        stored = self._repository.events(lot.rows[index][EVENT_ID] for index in others)
        for index in others:
            if same_content(stored[lot.rows[index][EVENT_ID]], lot.rows[index]):
                self.duplicates += 1
            else:
                self.conflicts.append((lot, index))
        return fresh

    def finish(self) -> None:
        heard = self._heard
        responses = sorted(heard.fast())  # once: pages are met in order from here on, and new labels come at the end
        moved, new = heard.compare(responses, self._written.standing(responses, self._config_hash))
        if moved:
            said = {bits: self.makes.of_bits(bits) for bits in set(moved.values())}
            self._written.move_heard(moved, said, self.now)
            self.labels += len(moved)
        if new:
            self._first_labels(new)
        if heard.slow:
            facts = self._repository.owners(responses_of(heard.slow))
            rows = self._repository.told(responses_of(heard.slow))  # the new ones among them
            slow = {answer: some for answer, some in by_answer(rows).items() if answer in heard.slow}
            self._from_ledgers(slow, facts)

    def _first_labels(self, new: dict[str, Label]) -> None:
        """Labels of answers that have none. Windows of unknown interactions may move yet, and what comes late may
        change a final label: these are made from the ledger."""
        said = {bits: self.makes.of_bits(bits) for bits in {label[BITS_AT] for label in new.values()}}
        made = self._written.put_first(new, said, self.now, self.makes.labelling)
        self.labels += made
        if made < len(new):
            responses = list(new)
            there = {responses[row[0]] for row in self._written.standing(responses, self._config_hash)}
            self._heard.slow.update((response, 0) for response in new.keys() - there)
