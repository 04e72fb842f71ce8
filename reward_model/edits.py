"""What people made of answers, as preferences, and who judged an answer. Pure.

An edit says: rather this than what you wrote. The edited text is an answer nobody sampled, so no policy is updated on
its tokens; a reward model learns from it as from any other text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from reward_model.rows import AnswerRow, Key, LabelRow, PairRow

EDIT = "edit"
_ABOUT_TWO = frozenset({"duel", "regenerate", "comment"})
"""Signals that no label is made of."""


class LedgerRow(msgspec.Struct, frozen=True):
    """One event of the ledger, as far as judges and edits need it. Times are Unix seconds."""

    event_id: str
    signal: str
    operation: str
    user_key: str | None
    derived_at: float
    received_at: float
    text: str | None = None


def counted(label: LabelRow, rows: Sequence[LedgerRow], seen: Mapping[Key, frozenset[str]]) -> list[LedgerRow]:
    """The events a label was made from: those its basis names, else (no basis was kept) those that had come by then."""
    ids = seen.get(label.key)
    if ids is not None:
        return [row for row in rows if row.event_id in ids]
    return [row for row in rows if row.received_at <= label.made_at]


def judges(rows: Sequence[LedgerRow], owner: str | None) -> tuple[str, ...]:
    """Whose signals stand behind a label, sorted: `owner` is the voter of events that name nobody."""
    names = {row.user_key or owner for row in rows if row.operation == "set" and row.signal not in _ABOUT_TWO}
    return tuple(sorted(name for name in names if name))


def edit_pairs(
    answer: AnswerRow, rows: Sequence[LedgerRow], weight: float, made_at: float
) -> list[tuple[AnswerRow, PairRow]]:
    """The edited texts of one answer, as answers to the same prompt, each preferred to it by who edited it.

    Of one person's edits the one with the greatest (derived_at, event_id) holds; withdrawn, or with its text expired,
    it says nothing. `weight` > 0 of each pair; `made_at`: when the label that counts these events was made.
    """
    latest: dict[str, LedgerRow] = {}
    for row in sorted(rows, key=lambda row: (row.derived_at, row.event_id)):
        if row.signal == EDIT:
            latest[row.user_key or answer.user_key or ""] = row
    made = []
    for person, row in sorted(latest.items()):
        if row.operation == "set" and row.text and row.text.strip():
            edited = replace(answer, response_id=f"{EDIT}-{row.event_id}", choice=0, text=row.text, origin=EDIT)
            made.append(
                (
                    edited,
                    PairRow(
                        pair_id=edited.response_id,
                        preferred=edited.key,
                        other=answer.key,
                        weight=weight,
                        source=EDIT,
                        made_at=made_at,
                        user_key=person or None,
                    ),
                )
            )
    return made


def texts_gone(rows: Sequence[LedgerRow]) -> int:
    """Edits among `rows` whose text has expired."""
    return sum(row.signal == EDIT and row.operation == "set" and row.text is None for row in rows)
