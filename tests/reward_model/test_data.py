"""Training sets: what is joined, dropped, weighed, split and halved, and how it is named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.data import AnswerRow, DataOptions, LabelRow, PairRow, TrainingSet, build_training_set
from reward_model.matched_pairs import MatchedOptions
from reward_model.new_people import PeopleOptions
from reward_model.people_halves import half_of
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


def test_the_hash_names_the_content_whatever_the_order() -> None:
    rows = [answer(i) for i in range(4)]
    labels = [label(row, love=1.0) for row in rows]
    one = build(rows, labels).content_hash
    assert build(rows[::-1], labels[::-1]).content_hash == one
    assert build(rows, [*labels[:3], label(rows[3], love=0.0)]).content_hash != one
    assert build([*rows[:3], answer(3, text="another text")], labels).content_hash != one


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


OPTIONS = DataOptions(
    half_life_seconds=20.0,
    matched=MatchedOptions(weight=0.5, ties=True),
    new_people=PeopleOptions(0.3, 0.3),
    trust={"u1": 0.5, "u2": 0.0},
    prior_trust=0.9,
)


def made_of(answers: list[AnswerRow], labels: list[LabelRow], pairs: list[PairRow], **more: Any) -> TrainingSet:
    fields = {"hold_out_fraction": 0.25, "per_person_weight": 3.0, "options": OPTIONS, **more}
    return build_training_set(answers, labels, pairs, ("love", "sentiment"), **fields)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[AnswerRow], list[LabelRow], list[PairRow]]:
    """Up to 25 answers of 6 people to 5 prompts with few texts, so that everything repeats; labels and pairs that speak
    of them, and of some that are not there."""
    count = draw(st.integers(0, 25))
    pick = st.integers(0, 5)
    answers = [
        answer(
            i,
            prompt=f"q{draw(st.integers(0, 4))}",
            text=f"text {draw(pick)}" + "." * draw(st.integers(0, 1)),
            user_key=draw(st.none() | pick.map("u{}".format)),
            conversation=f"c{draw(st.integers(0, 12))}",
            adapter=draw(st.sampled_from(["base", "a@1"])),
        )
        for i in range(count)
    ]
    spoken = [*answers, answer(99)]
    values = st.none() | st.sampled_from([0.0, 0.25, 1.0])
    labels = [
        LabelRow(
            row.key,
            {"love": draw(values), "sentiment": draw(values)},
            {"love": draw(st.sampled_from([0.0, 0.5, 1.0])), "sentiment": 1.0},
            made_at=float(draw(pick)),
            judges=tuple(sorted(draw(st.sets(pick.map("u{}".format), max_size=2)))),
        )
        for row in spoken
        if draw(st.booleans())
    ]
    pairs = [
        pair(
            i,
            draw(st.sampled_from(spoken)),
            draw(st.sampled_from(spoken)),
            user_key=draw(st.none() | pick.map("u{}".format)),
            made_at=float(draw(pick)),
            source=draw(st.sampled_from(["duel", "regenerate"])),
        )
        for i in range(draw(st.integers(0, 12)))
    ]
    return answers, labels, pairs


@settings(deadline=None, max_examples=30)
@given(worlds(), st.randoms())
def test_the_order_of_the_rows_plays_no_part(
    world: tuple[list[AnswerRow], list[LabelRow], list[PairRow]], random: Any
) -> None:
    one = made_of(*world)
    answers, labels, pairs = list(world[0]), list(world[1]), list(world[2])
    for rows in (answers, labels, pairs):
        random.shuffle(rows)
    other = made_of(answers, labels, pairs)
    assert other.content_hash == one.content_hash
    assert other.card == one.card
    for name in ("targets", "weights", "pairs", "pair_weights", "pair_soft", "pair_margins", "half", "pair_half"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "targets"), name
    for name in ("answers", "people", "pair_people", "pair_sources"):
        assert getattr(one, name) == getattr(other, name)


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_what_holds_of_every_training_set(world: tuple[list[AnswerRow], list[LabelRow], list[PairRow]]) -> None:
    made = made_of(*world)
    present = ~np.isnan(made.targets)
    assert (made.weights[present] > 0).all()
    assert (made.weights[~present] == 0).all()
    assert np.isfinite(made.weights).all()
    assert ((made.targets[present] >= 0) & (made.targets[present] <= 1)).all()
    assert (made.pair_weights > 0).all()
    assert ((made.pair_soft >= 0.5) & (made.pair_soft <= 1)).all()
    assert ((made.pair_margins >= 0) & (made.pair_margins <= 1)).all()
    for k in range(2):
        for name in {p for p in made.people if p}:
            assert made.weights[[p == name for p in made.people], k].sum() <= 3.0 + 1e-9
    halves = (*zip(made.people, made.half, strict=True), *zip(made.pair_people, made.pair_half, strict=True))
    for person, half in halves:
        assert person is None or half == half_of(person, "")
    sides = made.split.held_out.astype(int) + made.split.left_out + made.split.training
    assert (sides == 1).all()
    assert not (made.pair_training & made.pair_held_out).any()
    for one, other in made.pairs:
        assert one != other
        assert made.answers[one].prompt_key == made.answers[other].prompt_key
        assert made.answers[one].near_key != made.answers[other].near_key
    for names in ([a.conversation_id for a in made.answers], [a.prompt_key for a in made.answers]):
        held = {n for n, yes in zip(names, made.split.held_out, strict=True) if yes}
        assert not held & {n for n, yes in zip(names, made.split.training, strict=True) if yes}


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_nobody_new_and_nobody_of_the_other_half_was_learned_from(
    world: tuple[list[AnswerRow], list[LabelRow], list[PairRow]],
) -> None:
    made = made_of(*world)
    labelled = (~np.isnan(made.targets)).any(1)
    learned = {p for p, yes in zip(made.people, made.split.training & labelled, strict=True) if yes and p}
    learned |= {p for p, yes in zip(made.pair_people, made.pair_training, strict=True) if yes and p}
    assert not {p for p, yes in zip(made.people, made.held_out_person & labelled, strict=True) if yes} & learned
    assert not {p for p, yes in zip(made.pair_people, made.pair_held_out_person, strict=True) if yes} & learned
    halves = [
        {
            p
            for p, h, mixed in zip(made.people, made.half, made.half_mixed, strict=True)
            if p and h == half and not mixed
        }
        | {p for p, h in zip(made.pair_people, made.pair_half, strict=True) if p and h == half}
        for half in (0, 1)
    ]
    assert not halves[0] & halves[1]


def test_everything_a_training_sees_is_in_the_hash() -> None:
    rows = [answer(i, prompt=f"q{i // 2}", adapter=f"a@{i % 2}") for i in range(6)]
    labels = [label(row, love=float(i % 2), sentiment=0.5) for i, row in enumerate(rows)]
    pairs = [pair(0, rows[0], rows[1]), pair(1, rows[2], rows[3])]
    base = made_of(rows, labels, pairs).content_hash
    assert made_of(rows, labels, pairs).content_hash == base
    others = [
        made_of([*rows[:5], replace(rows[5], conversation_id="x")], labels, pairs),
        made_of([*rows[:5], replace(rows[5], created_at=5.5)], labels, pairs),
        made_of([*rows[:5], replace(rows[5], user_key="x")], labels, pairs),
        made_of(rows, [*labels[:5], replace(labels[5], weights={"love": 0.9, "sentiment": 1.0})], pairs),
        made_of(rows, labels, [pairs[0], replace(pairs[1], preferred=pairs[1].other, other=pairs[1].preferred)]),
        made_of(rows, labels, [pairs[0], replace(pairs[1], source="regenerate")]),
        made_of(rows, labels, [pairs[0], replace(pairs[1], soft=0.8)]),
        made_of(rows, labels, [pairs[0], replace(pairs[1], margin=0.3)]),
        made_of(rows, labels, [pairs[0], replace(pairs[1], user_key="x")]),
        made_of(rows, labels, pairs, options=replace(OPTIONS, half_life_seconds=1.0)),
        made_of(rows, labels, pairs, options=replace(OPTIONS, salt="another")),
        made_of(rows, labels, pairs, options=replace(OPTIONS, trust={"v0": 0.1})),
        made_of(rows, labels, pairs, hold_out_fraction=0.5),
    ]
    hashes = [one.content_hash for one in others]
    assert base not in hashes
    assert len(set(hashes)) == len(hashes)


def test_age_is_that_of_the_answer_not_of_a_label_made_again() -> None:
    rows = [answer(0), answer(20)]
    made = made_of(rows, [label(rows[0], 900.0, love=1.0), label(rows[1], 30.0, love=1.0)], [], per_person_weight=9.0)
    assert made.weights[:, 0].tolist() == [0.5, 1.0]


def test_an_answer_dated_in_the_future_does_not_age_the_others() -> None:
    rows = [answer(0), answer(1), answer(10**9)]
    labels = [label(row, made_at=20.0, love=1.0) for row in rows]
    made = made_of(rows, labels, [], per_person_weight=9.0)
    assert made.weights[:, 0].tolist() == [0.5, pytest.approx(2 ** (-19 / 20)), 1.0]
    paired = [answer(0, prompt="q"), answer(10**9, prompt="q"), answer(1, prompt="q")]
    pairs = [pair(20, paired[0], paired[1], user_key="x"), pair(10, paired[0], paired[2], user_key="y")]
    made = made_of(paired, [], pairs, options=DataOptions(half_life_seconds=19.0))
    assert made.pair_weights.tolist() == [0.5, 1.0]


def test_pairs_age_with_their_newer_answer() -> None:
    rows = [answer(i, prompt="q") for i in (0, 20, 40, 41)]
    pairs = [pair(90, rows[0], rows[1], user_key="x"), pair(91, rows[3], rows[2], user_key="y")]
    made = made_of(rows, [], pairs, options=DataOptions(half_life_seconds=21.0))
    assert made.pair_weights.tolist() == [0.5, 1.0]


def test_matched_pairs_join_the_others_once() -> None:
    people = [f"u{i}" for i in range(40) if half_of(f"u{i}", "") == 0]
    rows = [answer(i, prompt="q", user_key=people[i]) for i in range(3)]
    labels = [label(row, love=float(i == 0)) for i, row in enumerate(rows)]
    made = made_of(
        rows, labels, [pair(0, rows[1], rows[0], user_key="v")], options=DataOptions(matched=MatchedOptions())
    )
    assert made.pair_sources == ("matched", "duel")
    assert [tuple(made.answers[i].response_id for i in row) for row in made.pairs] == [("r0", "r2"), ("r1", "r0")]
    assert made.pair_people == (people[0], "v")
    assert made.card["pair_sources"]["matched"]["pairs"] == 1
    assert made.pair_half.tolist() == [0, half_of("v", "")]


def test_labels_of_people_of_both_halves_are_marked() -> None:
    people = [next(f"u{i}" for i in range(40) if half_of(f"u{i}", "") == half) for half in (0, 1)]
    rows = [answer(i) for i in range(2)]
    labels = [replace(label(rows[0], love=1.0), judges=tuple(people)), label(rows[1], love=1.0)]
    assert made_of(rows, labels, []).half_mixed.tolist() == [True, False]


def test_without_a_person_a_pair_goes_by_its_conversation() -> None:
    rows = [answer(i, prompt="q", conversation="c") for i in range(2)]
    made = made_of(rows, [], [pair(0, *rows, user_key=None)])
    assert made.pair_half.tolist() == [half_of(None, "c")]


def test_left_out_columns_get_neutral_values_and_wrong_ones_are_refused() -> None:
    rows = [answer(i, prompt="q") for i in range(2)]
    made = made_of(rows, [], [pair(0, *rows)])
    plain = TrainingSet(
        made.answers, made.objectives, made.targets, made.weights, made.pairs, made.pair_weights, made.split, "h"
    )
    assert (plain.pair_soft.tolist(), plain.pair_margins.tolist(), plain.pair_sources) == ([1.0], [0.0], ("duel",))
    assert plain.people == ("u0", "u1")
    assert plain.half.tolist() == [0, 0]
    with pytest.raises(ValueError, match="pair_soft has 3 rows; give 1"):
        replace(plain, pair_soft=np.ones(3))


def test_nothing_makes_an_empty_set() -> None:
    made = made_of([], [], [])
    assert (len(made.answers), len(made.pairs), made.card["labels"]) == (0, 0, 0)
