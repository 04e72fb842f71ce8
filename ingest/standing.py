"""What a provisional label has heard, as a few bits beside it: with them most events change the label without the
ledger being read.

While windows are open, most of what happens to an answer is one person's `shown`, reading times, a like, a copy: set,
never withdrawn, without a value that counts. Such events commute, and hearing one twice changes nothing, so the set of
their signals says all of the ledger that the label rests on. Anything else (a second person, a withdrawal, a rating,
a strength, a vote after the opposite vote, a signal about two answers) leaves the label without bits, and its answer is
read from the ledger as before. Whoever else writes a provisional label (`ingest.labelling`, closing) leaves it without
bits as well: bits are only ever what the consumer heard.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ingest.ledger import OPPOSITES
from ingest.objectives import SIGNALS
from ingest.rows import OPERATION, SIGNAL, USER_KEY, VALUE, LedgerRow

CENSORED = SIGNALS["dwell"]
"""Signals of which no definition looks at the value while the window is open. (Reading times differ from answer to
answer; without them few different things happen to open answers.) A test holds every definition to it."""

BITS: Final[Mapping[str, int]] = {
    signal: 1 << place
    for place, signal in enumerate(
        ("shown", "dwell", "like", "dislike", "copy", "reuse", "share", "report", "comment", "edit")
    )
}
"""The bit of each signal about one answer. Stored: never give one another meaning. (`rating` says nothing without its
value.)"""
_OPINIONS: Final = sum(BITS[signal] for signal in OPPOSITES)
"""Of these the later holds, which bits do not tell."""
_BIT_OF: Final[Mapping[tuple[str, str], int]] = {(signal, "set"): bit for signal, bit in BITS.items()}

NOTHING: Final = 0
"""Of a label that was not, or not only, heard as bits."""
NOBODY: Final = ""
"""The voter of events without a user, where a label names its voter."""

Answer = tuple[str, int]


Label = list[Any]
"""What one label has heard, and changes as it hears more: [bits, voter, bits in the store]. One object an answer, so
that an event costs one look into a dict."""
BITS_AT: Final = 0
VOTER_AT: Final = 1
_STORED: Final = 2
_NEW: Final = -1
"""In the place of the bits in the store, where there is no label."""
Standing = dict[Answer, Label]


def standing_of(rows: Iterable[Sequence[Any]]) -> Standing:
    """Of rows (response_id, choice, heard, user_key)."""
    return {row[:2]: [row[2], row[3], row[2]] for row in rows}  # type: ignore[misc]


def heard_of(history: Iterable[tuple[Any, ...]]) -> int:
    """The bits of one person's history (`ingest.provisional.History`); NOTHING where they would not say all of it."""
    heard = 0
    for signal, operation, *value in history:
        bit = _BIT_OF.get((signal, operation), 0)
        if not bit or (value and value[0] is not None):
            return NOTHING
        heard |= bit
    return NOTHING if _torn(heard) else heard


def signals_of(heard: int) -> list[str]:
    """The signals that bits stand for."""
    return [signal for signal, bit in BITS.items() if heard & bit]


@dataclass(slots=True)
class Heard:
    """What new rows do to labels. `labels`: those of which bits tell all, after the rows. `slow`: answers of the rows
    that have to be made from the ledger; `stood`: those of them that had a label that bits told."""

    labels: Standing
    slow: set[Answer] = field(default_factory=set)
    stood: set[Answer] = field(default_factory=set)

    def give_up(self, answers: Iterable[Answer]) -> None:
        """Make these from the ledger after all."""
        for answer in answers:
            self.slow.add(answer)
            label = self.labels.pop(answer, None)
            if label is not None and label[_STORED] != _NEW:
                self.stood.add(answer)

    def new(self) -> list[Answer]:
        """Answers that had no label."""
        return [answer for answer, label in self.labels.items() if label[_STORED] == _NEW]

    def moved(self) -> list[Answer]:
        """Answers whose label has heard something new."""
        return [
            answer
            for answer, label in self.labels.items()
            if label[BITS_AT] != label[_STORED] and label[_STORED] != _NEW
        ]


def hear(
    standing: Standing, ledgered: Container[Answer], answers: Iterable[Answer], fresh: Iterable[LedgerRow]
) -> Heard:
    """`standing` goes into what is returned. `answers`: those of the fresh rows, in their order. `ledgered`: answers
    without a standing label that have rows in the ledger beside the fresh ones."""
    slow: set[Answer] = set()
    bit_of, label_of = _BIT_OF.get, standing.get
    for answer, row in zip(answers, fresh, strict=True):
        bit = bit_of(row[SIGNAL:VALUE])
        if bit is None or (row[VALUE] is not None and row[SIGNAL] not in CENSORED):
            slow.add(answer)
            continue
        label = label_of(answer)
        if label is None:
            if answer in ledgered:
                slow.add(answer)
            else:
                standing[answer] = [bit, row[USER_KEY] or NOBODY, _NEW]
        elif label[VOTER_AT] == (row[USER_KEY] or NOBODY):
            label[BITS_AT] |= bit
        else:
            slow.add(answer)
    found = Heard(standing)
    found.give_up([*slow, *[answer for answer, label in standing.items() if _torn(label[BITS_AT])]])
    return found


def _torn(heard: int) -> bool:
    return heard & _OPINIONS == _OPINIONS


assert OPERATION == SIGNAL + 1 == VALUE - 1  # `hear` takes the two as a slice
