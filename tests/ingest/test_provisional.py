"""The fast way to a provisional label is the reference, `make_label`, for any ledger."""

import json
import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import uuid7
from infra.settings.ingest import IngestSettings
from ingest.labels import InteractionFacts, Labelling, make_label
from ingest.ledger import Version
from ingest.objectives import DEFINITIONS, Setting
from ingest.provisional import LABEL_COLUMNS, PROVISIONAL_COLUMNS, ProvisionalLabels, by_answer, told
from ingest.rows import LEDGER_COLUMNS, OPERATION, SIGNAL, USER_KEY, VALUE, LedgerRow, ledger_row_of
from ingest.standing import BITS, NOBODY, NOTHING
from tests.ingest.builders import PROJECT, START, event

LABELLING = Labelling.of(IngestSettings(window_seconds=100.0))


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerRow]:
    """Rows about one answer, with ties in time, several voters and changes of mind."""
    signals = ["shown", "like", "dislike", "rating", "dwell", "copy", "report", "duel", "regenerate", "share"]
    rows = []
    for _ in range(draw(st.integers(1, 10))):
        signal = draw(st.sampled_from(signals))
        one = event(
            "r1",
            signal,
            operation=draw(st.sampled_from(["set", "set", "withdraw"])),
            value=draw(st.sampled_from([None, 0.25, 0.95])),
            other_response_id=draw(st.sampled_from(["r2", "r3"])) if signal in ("duel", "regenerate") else None,
            other_choice=draw(st.integers(0, 1)) if signal in ("duel", "regenerate") else 0,
            user_key=draw(st.sampled_from([None, None, "ann", "bob"])),
            derived_at=draw(st.sampled_from([START, START + 1, START + 2])),
        )
        rows.append(ledger_row_of(one))
    return rows


def version_of(row: LedgerRow) -> Version:
    document = dict(zip(LEDGER_COLUMNS, row, strict=True))
    return Version(**{name: document[name] for name in Version._fields})


def reference(rows: list[LedgerRow], facts: InteractionFacts | None) -> dict[str, Any]:
    versions = [version_of(row) for row in rows]
    label = make_label(PROJECT, ("r1", 0), versions, facts, LABELLING, version=0, made_at=5.0)
    names = ["project", "response_id", "choice", "version", "status", "values", "weights", "events_counted",
             "config_hash", "made_at", "window_closes_at"]  # fmt: skip
    label = msgspec.structs.replace(
        label,
        values={name: value for name, value in label.values.items() if value is not None},
        weights={name: weight for name, weight in label.weights.items() if label.values[name] is not None},
    )
    said = {column: getattr(label, name) for column, name in zip(LABEL_COLUMNS[:-2], names, strict=True)}
    plain = facts is not None and all_plain(rows)
    return {**said, "heard": sum({BITS[row[SIGNAL]] for row in rows}) if plain else NOTHING,
            "user_key": (rows[0][USER_KEY] if plain else None) or NOBODY}  # fmt: skip


def all_plain(rows: list[LedgerRow]) -> bool:
    """Whether rows are one person's and commute: worked out apart from `ingest.standing`."""
    signals = {row[SIGNAL] for row in rows}
    return (
        len({row[USER_KEY] for row in rows}) == 1
        and {row[OPERATION] for row in rows} == {"set"}
        and all(row[VALUE] is None or row[SIGNAL] == "dwell" for row in rows)
        and not signals & {"rating", "duel", "regenerate"}
        and not signals >= {"like", "dislike"}
    )


@given(
    ledgers(),
    st.sampled_from(
        [None, InteractionFacts("ann", START - 10, "[[0,20,5]]"), InteractionFacts(None, START - 10, None)]
    ),
    st.randoms(use_true_random=False),
)
def test_fast_is_the_reference_in_any_order(
    rows: list[LedgerRow], facts: InteractionFacts | None, shuffler: random.Random
) -> None:
    expected = reference(rows, facts)
    shuffled = shuffler.sample(rows, len(rows))
    known = {} if facts is None else {"r1": ("r1", facts.user_key, facts.created_at)}
    (made,) = ProvisionalLabels(LABELLING).rows({("r1", 0): shuffled}, known, 5.0)[not known]
    document = dict(zip(PROVISIONAL_COLUMNS, made, strict=True))
    for column in ("objective_values", "weights"):
        document[column] = json.loads(document[column])
    assert document == {column: expected[column] for column in PROVISIONAL_COLUMNS}


def test_a_change_of_mind_by_hand() -> None:
    said: list[tuple[str, dict[str, Any]]] = [
        ("shown", {}),
        ("like", {}),
        ("dislike", {}),
        ("like", {"operation": "withdraw"}),
        ("copy", {"user_key": "bob"}),
    ]
    row = [
        ledger_row_of(event("r1", signal, derived_at=START + at, event_id=str(uuid7()), **more))
        for at, (signal, more) in enumerate(said)
    ]
    assert told(row, "ann") == ([{"shown": None, "dislike": None}, {"copy": None}], 3)
    assert told(row[:2], "ann") == ([{"shown": None, "like": None}], 2)
    assert by_answer(row) == {("r1", 0): row}


def test_no_definition_looks_at_what_is_censored_while_the_window_is_open() -> None:
    for name, (definition, parameters) in DEFINITIONS.items():
        for signals in ({}, {"shown": None}, {"shown": None, "like": None}):
            for tokens in (None, 80):
                setting = Setting(closed=False, characters=tokens, tokens=tokens)
                told = definition({**signals, "dwell": 12.0}, setting, parameters)
                assert told == definition(signals, setting, parameters), name


def test_few_documents_are_made_and_their_number_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr("ingest.provisional._MAX_VECTORS", 3)
    labels = ProvisionalLabels(LABELLING)
    for index in range(10):
        one = ledger_row_of(event("r1", "rating", value=index / 10))
        (), (made,) = labels.rows({("r1", 0): [one]}, {}, 5.0)
        assert json.loads(made[2])["sentiment"] == index / 10
        assert len(labels._vectors) <= 3
