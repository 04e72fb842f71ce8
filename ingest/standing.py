"""What a provisional label has heard, as a few bits beside it: with them most events change the label without the
ledger being read.

While windows are open, most of what happens to an answer is one person's `shown`, reading times, a like, a copy: set,
never withdrawn, without a value that counts. Such events commute, and hearing one twice changes nothing, so the set of
their signals says all of the ledger that the label rests on. Anything else (a second person, a withdrawal, a rating,
a strength, a vote after the opposite vote, a signal about two answers) leaves the label without bits, and its answer is
read from the ledger as before. Whoever else writes a provisional label (`ingest.labelling`, closing) leaves it without
bits as well: bits are only ever what the consumer heard.
"""

from collections.abc import Container, Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Standing:
    """Labels that stand in the store: what each has heard, and from whom."""

    bits: dict[Answer, int] = field(default_factory=dict)
    voters: dict[Answer, str] = field(default_factory=dict)


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
    """What new rows do to labels. `bits` and `voters`: of every answer whose label bits alone tell, after the rows.
    `slow`: answers of the rows that have to be made from the ledger."""

    bits: dict[Answer, int]
    voters: dict[Answer, str]
    slow: set[Answer]

    def give_up(self, answers: Iterable[Answer]) -> None:
        """Make these from the ledger after all."""
        for answer in answers:
            self.slow.add(answer)
            self.bits.pop(answer, None)


def hear(
    standing: Standing, ledgered: Container[Answer], answers: Iterable[Answer], fresh: Iterable[LedgerRow]
) -> Heard:
    """`answers`: those of the fresh rows, in their order. `ledgered`: answers without a standing label that have rows
    in the ledger beside the fresh ones."""
    heard, voters = standing.bits.copy(), standing.voters.copy()
    slow: set[Answer] = set()
    bit_of = _BIT_OF.get
    for answer, row in zip(answers, fresh, strict=True):
        bit = bit_of(row[SIGNAL:VALUE])
        if bit is None or (row[VALUE] is not None and row[SIGNAL] not in CENSORED):
            slow.add(answer)
            continue
        voter = row[USER_KEY] or NOBODY
        bits = heard.get(answer)
        if bits is None:
            if answer in ledgered:
                slow.add(answer)
            else:
                heard[answer] = bit
                voters[answer] = voter
        elif voters[answer] == voter:
            heard[answer] = bits | bit
        else:
            slow.add(answer)
    found = Heard(heard, voters, slow)
    found.give_up([*slow, *[answer for answer, bits in heard.items() if _torn(bits)]])
    return found


def _torn(heard: int) -> bool:
    return heard & _OPINIONS == _OPINIONS


assert OPERATION == SIGNAL + 1 == VALUE - 1  # `hear` takes the two as a slice
