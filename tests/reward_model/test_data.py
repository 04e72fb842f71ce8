"""Training sets: what is joined, dropped, weighed, and how it is named."""

import numpy as np
import pytest

from infra.contracts import Message
from reward_model.data import cap_by_person
from tests.reward_model.builders import answer, build, label, pair


def test_targets_and_weights_stand_where_they_belong() -> None:
    rows = [answer(0), answer(1)]
    labels = [label(rows[0], love=1.0, dwell=None), label(rows[1], weight=0.5, love=0.0, dwell=0.25)]
    made = build(rows, labels, objectives=("love", "dwell"))
    assert [a.response_id for a in made.answers] == ["r0", "r1"]
    assert np.array_equal(made.targets, np.array([[1.0, np.nan], [0.0, 0.25]]), equal_nan=True)
    assert made.weights.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_a_label_without_weight_says_nothing() -> None:
    rows = [answer(0)]
    made = build(rows, [label(rows[0], weight=0.0, love=1.0)])
    assert np.isnan(made.targets).all()


def test_pairs_name_rows_preferred_first() -> None:
    rows = [answer(0, prompt="q"), answer(1, prompt="q")]
    made = build(rows, pairs=[pair(0, rows[1], rows[0])])
    assert made.pairs.tolist() == [[1, 0]]
    assert made.split.groups[0] == made.split.groups[1]


def test_what_has_no_interaction_is_counted_not_invented() -> None:
    rows = [answer(0), answer(1)]
    made = build(rows[:1], [label(rows[0], love=1.0), label(rows[1], love=1.0)], [pair(0, rows[0], rows[1])])
    assert len(made.answers) == 1
    assert {reason: count for reason, count in made.card["dropped"].items() if count} == {
        "labels_without_interaction": 1,
        "pairs_without_interaction": 1,
    }


def test_the_same_person_prompt_and_text_counts_once_and_the_newest_holds() -> None:
    twice = [answer(i, prompt="q", text="t", user_key="ann") for i in (0, 1)]
    other = answer(2, prompt="q", text="t", user_key="bob")
    labels = [label(twice[0], 5.0, love=1.0), label(twice[1], 9.0, love=0.0), label(other, 7.0, love=1.0)]
    made = build([*twice, other], labels)
    assert {a.user_key: float(t) for a, t in zip(made.answers, made.targets[:, 0], strict=True)} == {
        "ann": 0.0,
        "bob": 1.0,
    }


def test_without_a_person_every_answer_stands_alone() -> None:
    rows = [answer(i, prompt="q", text="t", user_key=None) for i in (0, 1)]
    assert len(build(rows, [label(row, love=1.0) for row in rows]).answers) == 2


def test_repeated_pairs_in_either_order_count_once_and_equal_texts_never() -> None:
    a, b = answer(0, prompt="q", text="a"), answer(1, prompt="q", text="b")
    same = answer(2, prompt="q", text="a")
    pairs = [
        pair(1, a, b, user_key="ann"),
        pair(2, b, a, user_key="ann"),  # she changed her mind
        pair(3, a, b, user_key="bob"),
        pair(4, a, same),
    ]
    made = build([a, b, same], pairs=pairs)
    assert made.pairs.tolist() == [[1, 0], [0, 1]]
    assert made.card["pairs_by_source"] == {"duel": 2}


def test_one_person_cannot_outweigh_the_cap() -> None:
    rows = [answer(i, user_key="bot" if i < 8 else "ann") for i in range(10)]
    made = build(rows, [label(row, love=1.0) for row in rows], cap=4.0)
    weights = {a.user_key: w for a, w in zip(made.answers, made.weights[:, 0], strict=True)}
    assert weights["bot"] == pytest.approx(0.5)
    assert weights["ann"] == 1.0


def test_cap_of_nobody() -> None:
    assert len(cap_by_person(np.zeros(0), [], 1.0)) == 0


def test_the_hash_names_the_content_whatever_the_order() -> None:
    rows = [answer(i) for i in range(4)]
    labels = [label(row, love=1.0) for row in rows]
    one = build(rows, labels).content_hash
    assert build(rows[::-1], labels[::-1]).content_hash == one
    assert build(rows, [*labels[:3], label(rows[3], love=0.0)]).content_hash != one
    assert build([*rows[:3], answer(3, text="another text")], labels).content_hash != one


def test_prompts_are_equal_but_for_case_spacing_and_earlier_answers() -> None:
    def asked(*messages: tuple[str, str]) -> str:
        return answer(0, messages=tuple(Message(*m) for m in messages)).prompt_key

    one = asked(("user", "How are  you?"), ("assistant", "fine"), ("user", "And now?"))
    assert one == asked(("system", "be kind"), ("user", "how are you?"), ("assistant", "bad"), ("user", "and now?"))
    assert one != asked(("user", "And now?"))


def test_the_card_counts() -> None:
    rows = [answer(i, prompt=f"prompt {max(i, 1)}") for i in range(10)]
    made = build(rows, [label(row, love=float(i % 2)) for i, row in enumerate(rows)], [pair(0, rows[0], rows[1])])
    assert made.card["labels_by_objective"] == {"love": 10}
    assert made.card["positive_by_objective"] == {"love": 5.0}
    assert made.card["answers_held_out"] == 2
    assert made.card["held_out_since"] == 8.0
    assert made.card["people"] == 10


def test_pairs_alone_make_a_training_set() -> None:
    rows = [answer(i, prompt="q") for i in range(4)]
    made = build(rows, pairs=[pair(0, rows[0], rows[1])], objectives=())
    assert made.targets.shape == (2, 0)
    assert made.weights.shape == (2, 0)
