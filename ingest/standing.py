"""What a provisional label has heard, as a few bits beside it: with them most events change the label without the
ledger being read.

While windows are open, most of what happens to an answer is one person's `shown`, reading times, a like, a copy: set,
never withdrawn, without a value that counts. Such events commute, and hearing one twice changes nothing, so the set of
their signals says all of the ledger that the label rests on. Anything else (a second person, a withdrawal, a rating,
a strength, a vote after the opposite vote, a signal about two answers) leaves the label without bits, and its answer is
read from the ledger as before. Whoever else writes a provisional label (`ingest.labelling`, closing) leaves it without
bits as well: bits are only ever what the consumer heard.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final

from ingest.ledger import OPPOSITES
from ingest.objectives import SIGNALS
from ingest.rows import CHOICE, OPERATION, RESPONSE_ID, SIGNAL, USER_KEY, VALUE

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
"""What one label hears: [bits, voter]. One object an answer, so that an event costs one look into a dict."""
BITS_AT: Final = 0


def heard_of(history: Iterable[tuple[Any, ...]]) -> int:
    """The bits of one person's history (`ingest.provisional.History`); NOTHING where they would not say all of it."""
    heard = 0
    for signal, operation, *value in history:
        bit = _BIT_OF.get((signal, operation), 0)
        if not bit or (value and value[0] is not None):
            return NOTHING
        heard |= bit
    return NOTHING if is_torn(heard) else heard


def signals_of(heard: int) -> list[str]:
    """The signals that bits stand for."""
    return [signal for signal, bit in BITS.items() if heard & bit]


def is_torn(heard: int) -> bool:
    """Whether bits leave open which of two opinions holds."""
    return heard & _OPINIONS == _OPINIONS


@dataclass(slots=True)
class Heard:
    """What the new events of a transaction do to labels, of which nothing is known yet. `labels`: what the first answer
    of each of these responses heard; `slow`: answers that have to be made from the ledger, whatever else was heard."""

    labels: dict[str, Label] = field(default_factory=dict)
    slow: set[Answer] = field(default_factory=set)

    def hear(self, columns: Sequence[Sequence[Any]]) -> None:
        """Rows that are new to the ledger, by column. (Of responses with several answers all but the first are slow:
        few have any, and with one the response alone is the key.)"""
        responses, choices, signals, values = (columns[place] for place in (RESPONSE_ID, CHOICE, SIGNAL, VALUE))
        count, bit_of = len(responses), BITS.get
        bits = [
            bit_of(signal, 0) if value is None or signal in CENSORED else 0
            for signal, value in zip(signals, values, strict=True)
        ]
        if columns[OPERATION].count("set") < count or choices.count(0) < count:
            plain = map((0, "set").__eq__, zip(choices, columns[OPERATION], strict=True))
            bits = [bit if fits else 0 for bit, fits in zip(bits, plain, strict=True)]
        voters = columns[USER_KEY]
        if not all(voters):
            voters = [voter or NOBODY for voter in voters]
        labels, slow = self.labels, self.slow
        label_of = labels.get
        for response, choice, bit, voter in zip(responses, choices, bits, voters, strict=True):
            label = label_of(response)
            if not bit:
                slow.add((response, choice))
            elif label is None:
                labels[response] = [bit, voter]
            elif label[1] == voter:
                label[0] |= bit
            else:
                slow.add((response, 0))

    def fast(self) -> dict[str, Label]:
        """`labels` without those of slow answers."""
        for response, choice in self.slow:
            if choice == 0:
                self.labels.pop(response, None)
        return self.labels

    def compare(
        self, responses: Sequence[str], standing: Iterable[Sequence[Any]]
    ) -> tuple[dict[str, int], dict[str, Label]]:
        """What to write of the labels that bits tell, in the order of `responses`, which are those of `fast`:
        ({response whose label has heard something new: its bits}, {response without a label: (bits, voter)}); `slow`
        gets the others.

        `standing`: the labels there are, in that order too, as (place in `responses`, bits or NOTHING, voter), of
        several of one response first the one that may stand.
        """
        moved: dict[str, int] = {}
        labels, slow = self.labels, self.slow
        unlabelled = [True] * len(responses)
        for place, before, voter in standing:
            if not unlabelled[place]:
                continue
            unlabelled[place] = False
            response = responses[place]
            heard, by = labels[response]
            bits = before | heard
            if not before or voter != by or is_torn(bits):
                slow.add((response, 0))
            elif bits != before:
                moved[response] = bits
        new = {response: labels[response] for response in compress(responses, unlabelled)}
        torn = [response for response, label in new.items() if is_torn(label[BITS_AT])]
        for response in torn:
            del new[response]
            slow.add((response, 0))
        return moved, new
