"""Provisional labels, fast: from rows of the ledger to rows of `labels`, with no object per event or label.

The same function of the same ledger as `ingest.labels.make_label` with version 0; a property test holds the two
together. What it does otherwise: versions are sorted once and told in order, so that the last word about a signal
holds, and the JSON of a vector of values is made once, as few different ones come up while windows are open.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ingest.labels import Labelling
from ingest.ledger import OPPOSITES, OWNER, PAIR_SIGNALS
from ingest.objectives import Setting
from ingest.rows import (
    DERIVED_AT,
    OPERATION,
    OTHER,
    OTHER_CHOICE,
    RESPONSE_ID,
    SIGNAL,
    TEXT,
    USER_KEY,
    VALUE,
    LedgerRow,
    instant_of,
)
from ingest.standing import CENSORED, NOBODY, NOTHING, heard_of, signals_of

LABEL_COLUMNS = (
    "project",
    "response_id",
    "choice",
    "version",
    "status",
    "objective_values",
    "weights",
    "events_counted",
    "config_hash",
    "made_at",
    "window_closes_at",
    "heard",
    "user_key",
)
PROVISIONAL_COLUMNS = (
    "response_id", "choice", "objective_values", "weights", "events_counted", "heard", "made_at", "window_closes_at",
    "user_key",
)  # fmt: skip
"""What the provisional labels of one batch differ in."""
LabelRow = tuple[Any, ...]
"""`PROVISIONAL_COLUMNS`, the two documents as JSON text."""
ANSWER = slice(0, 2)
CLOSES_AT = 7
"""Places in a `LabelRow`."""

Answer = tuple[str, int]
Fact = Sequence[Any]
"""What is known of an interaction: (response_id, user_key, created_at, ...)."""
Said = tuple[str, str, int, int]
"""What a label says: values and weights as JSON, the number of signals that hold, and the bits of what it heard."""
History = tuple[tuple[Any, ...], ...]
"""What one person said of one answer, oldest first: (signal, operation, value), without the value where it says nothing
while the window is open. Never a signal about two answers."""
_Held = dict[Any, float | None]
_OPEN = Setting(closed=False)
_MAX_VECTORS = 4096
"""Vectors of values whose JSON is kept: more only come up where ratings or strengths are finely graded."""
_MAX_HISTORIES = 16_384
"""Histories of which is kept what they say: more only come up as above."""


class ProvisionalLabels:
    """Makes provisional labels by one specification. Belongs to one thread."""

    def __init__(self, labelling: Labelling) -> None:
        self.labelling = labelling
        self._objectives = labelling.objectives
        self._vectors: dict[tuple[float | None, ...], tuple[str, str]] = {}
        self._histories: dict[History, Said] = {}

    def rows(
        self, answers: Mapping[Answer, list[LedgerRow]], facts: Mapping[str, Fact], made_at: float
    ) -> tuple[list[LabelRow], list[LabelRow]]:
        """(labels of answers whose interaction is known, labels of the others).

        Each from all rows of the answer's ledger: at least one; they are put in order in place.
        """
        window, kept = self.labelling.window_seconds, self._histories
        known_rows: list[LabelRow] = []
        other_rows: list[LabelRow] = []
        for answer, ledger in answers.items():
            fact = facts.get(answer[0])
            if len(ledger) > 1:
                ledger.sort(key=instant_of)
            history = _history(ledger)
            if history is None:
                said = self._of_voters(*told(ledger, (fact and fact[1]) or OWNER))
            else:
                said = kept.get(history) or self._said(history)
            if fact is None:  # nothing is heard: the interaction, when it comes, moves the window
                closes_at = ledger[0][DERIVED_AT] + window
                other_rows.append((*answer, *said[:-1], NOTHING, made_at, closes_at, NOBODY))
            else:
                voter = (said[-1] and ledger[0][USER_KEY]) or NOBODY
                known_rows.append((*answer, *said, made_at, fact[2] + window, voter))
        return known_rows, other_rows

    def of_bits(self, bits: int) -> Said:
        """What a label says that has heard these."""
        held: _Held = dict.fromkeys(signals_of(bits))
        return self._of_voters([held], len(held), bits)

    def _said(self, history: History) -> Said:
        """What the label says of one person's history. Few different ones come up, so it is kept."""
        if len(self._histories) >= _MAX_HISTORIES:
            self._histories.clear()
        held = _held(history)
        said = self._histories[history] = self._of_voters([held] if held else [], len(held), heard_of(history))
        return said

    def _of_voters(self, voters: Sequence[_Held], count: int, heard: int = NOTHING) -> Said:
        vector = tuple([objective.value(voters, _OPEN) for objective in self._objectives])
        return *self._of_vector(vector), count, heard

    def _of_vector(self, vector: tuple[float | None, ...]) -> tuple[str, str]:
        documents = self._vectors.get(vector)
        if documents is None:
            if len(self._vectors) >= _MAX_VECTORS:
                self._vectors.clear()
            documents = self._vectors[vector] = self._encode(vector)
        return documents

    def _encode(self, vector: Sequence[float | None]) -> tuple[str, str]:
        # Only what has a value: most objectives have none while the window is open, and a row is half as long.
        pairs = [(o, value) for o, value in zip(self._objectives, vector, strict=True) if value is not None]
        values = {objective.name: value for objective, value in pairs}
        weights = {objective.name: objective.weight for objective, _ in pairs}
        return msgspec.json.encode(values).decode(), msgspec.json.encode(weights).decode()


def _history(rows: Sequence[LedgerRow]) -> History | None:
    """The history that rows, oldest first, make; None if several people speak, or one of two answers."""
    history = tuple([row[SIGNAL:VALUE] if row[SIGNAL] in CENSORED else row[SIGNAL:TEXT] for row in rows])
    if len(rows) > 1:
        voter = rows[0][USER_KEY]
        for row in rows:
            if row[USER_KEY] != voter or row[SIGNAL] in PAIR_SIGNALS:
                return None
        return history
    return None if rows[0][SIGNAL] in PAIR_SIGNALS else history


def _held(history: History) -> _Held:
    """The signals that hold. As `told`, of one voter."""
    held: _Held = {}
    for signal, operation, *value in history:
        if operation != "set":
            held.pop(signal, None)
            continue
        if signal in OPPOSITES:
            held.pop(OPPOSITES[signal], None)
        held[signal] = value[0] if value else None
    return held


def by_answer(rows: Iterable[LedgerRow]) -> dict[Answer, list[LedgerRow]]:
    """Rows of the ledger by answer."""
    answers: defaultdict[Answer, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        answers[row[RESPONSE_ID:SIGNAL]].append(row)
    return dict(answers)


def told(ledger: Sequence[LedgerRow], owner: str) -> tuple[list[_Held], int]:
    """(signals that hold, a dict for each voter in order of their keys; how many hold), of the rows of one answer,
    oldest first.

    `owner` is the voter of rows that name nobody. See `ingest.ledger.surviving` for what holds.
    """
    voters: dict[str, _Held] = {}
    paired = False
    for row in ledger:
        voter = row[USER_KEY] or owner
        held = voters.get(voter)
        if held is None:
            held = voters[voter] = {}
        key: Any = row[SIGNAL]
        if row[OPERATION] == "set":
            if key in OPPOSITES:
                held.pop(OPPOSITES[key], None)
            elif key in PAIR_SIGNALS:
                key, paired = (key, row[OTHER], row[OTHER_CHOICE]), True
            held[key] = row[VALUE]
        else:
            held.pop((key, row[OTHER], row[OTHER_CHOICE]) if key in PAIR_SIGNALS else key, None)
    count = sum(map(len, voters.values()))
    if paired:
        voters = {voter: _without_others(held) for voter, held in voters.items()}
    if len(voters) == 1:
        return [held for held in voters.values() if held], count
    # Sorted: a mean of floats must not depend on the order in which voters came.
    return [voters[voter] for voter in sorted(voters) if voters[voter]], count


def _without_others(held: _Held) -> _Held:
    """Signals about two answers by their bare name, as objectives know them."""
    return {key[0] if isinstance(key, tuple) else key: value for key, value in held.items()}
