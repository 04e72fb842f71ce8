"""What people made of answers, and who judged them."""

from reward_model.edits import LedgerRow, counted, edit_pairs, judges, texts_gone
from reward_model.rows import LabelRow
from tests.reward_model.builders import answer

ROW = answer(0, user_key="ann")


def said(
    number: int,
    signal: str,
    user_key: str | None = None,
    text: str | None = None,
    *,
    operation: str = "set",
    at: float = 0.0,
) -> LedgerRow:
    return LedgerRow(f"e{number}", signal, operation, user_key, at or float(number), float(number), text)


def test_the_edited_text_is_preferred_by_who_edited() -> None:
    [(edited, pair)] = edit_pairs(ROW, [said(1, "edit", "bob", "better"), said(2, "like", "bob")], 0.5, 9.0)
    assert (edited.key, edited.text, edited.origin) == (("edit-e1", 0), "better", "edit")
    assert (edited.messages, edited.conversation_id, edited.created_at) == (
        ROW.messages,
        ROW.conversation_id,
        ROW.created_at,
    )
    assert edited.content_key != ROW.content_key, "keys are of the new text, not remembered"
    assert (pair.preferred, pair.other, pair.user_key, pair.weight, pair.source, pair.made_at) == (
        edited.key,
        ROW.key,
        "bob",
        0.5,
        "edit",
        9.0,
    )


def test_each_persons_latest_edit_holds_whatever_order_it_comes_in() -> None:
    rows = [
        said(3, "edit", None, "second", at=20.0),
        said(1, "edit", "ann", "first", at=10.0),
        said(2, "edit", "bob", "third"),
        said(4, "edit", "bob", operation="withdraw"),
    ]
    for some in (rows, rows[::-1]):
        assert [edited.text for edited, _ in edit_pairs(ROW, some, 1.0, 9.0)] == ["second"], "ann is the owner"


def test_an_expired_or_empty_text_says_nothing() -> None:
    rows = [said(1, "edit", "ann", None), said(2, "edit", "bob", "  "), said(3, "comment", "cyd", "nice")]
    assert edit_pairs(ROW, rows, 1.0, 9.0) == []
    assert texts_gone(rows) == 1


def test_judges_are_whose_signals_count() -> None:
    rows = [
        said(1, "like"),
        said(2, "shown", "bob"),
        said(3, "like", "cyd", operation="withdraw"),
        said(4, "duel", "dan"),
        said(5, "comment", "eve", "x"),
    ]
    assert judges(rows, "ann") == ("ann", "bob")
    assert judges(rows, None) == ("bob",)
    assert judges([], "ann") == ()


def test_a_label_counts_what_its_basis_names() -> None:
    rows = [said(1, "like"), said(2, "like"), said(9, "like")]
    label = LabelRow(ROW.key, {}, {}, made_at=5.0)
    assert [row.event_id for row in counted(label, rows, {ROW.key: frozenset({"e1", "e9"})})] == ["e1", "e9"]
    assert [row.event_id for row in counted(label, rows, {})] == ["e1", "e2"], "without one: what had come by then"
