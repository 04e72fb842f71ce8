"""Who becomes champion: better by a test over people on what neither has seen; everything else keeps who is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.champion import Rule, compared, unseen_by
from reward_model.held_out import UTILITY, Judgments, Predictions, charges, held_out_judgments
from tests.reward_model.builders import answer, build, label, pair

RULE = Rule(min_people=10, min_judgments=20, resamples=300)


def judgments(count: int, *, people: int | None = None, seed: int = 0) -> Judgments:
    """`count` labels of love, one in three positive, of as many people unless said."""
    target = (np.random.default_rng(seed).random(count) < 1 / 3).astype(np.float64)
    names = tuple(f"u{i % (people or count)}" for i in range(count))
    rows = np.arange(count)
    return Judgments(("love",) * count, rows, np.full(count, -1), target, np.ones(count), names, {"love": 1 / 3})


def guess(found: Judgments, certainty: float) -> Predictions:
    """Probabilities on the right side of a half by `certainty`."""
    return Predictions({"love": np.where(found.target > 0.5, 0.5 + certainty, 0.5 - certainty)})


def test_charges_are_negative_log_probabilities() -> None:
    two = Judgments(
        ("love", "love", UTILITY),
        np.array([0, 1, 0]),
        np.array([-1, -1, 1]),
        np.array([1.0, 0.25, 1.0]),
        np.ones(3),
        ("a", "b", "a"),
        {"love": 0.2, UTILITY: 0.5},
    )
    said = Predictions({"love": np.array([0.8, 0.4]), UTILITY: np.array([2.0, 0.0])}, flip_rate=0.1, utility_scale=2.0)
    p = 0.9 / (1 + np.exp(-1.0)) + 0.1 / (1 + np.exp(1.0))  # (2 - 0) / scale 2 = 1
    expected = [-np.log(0.8), -0.25 * np.log(0.4) - 0.75 * np.log(0.6), -np.log(p)]
    assert charges(two, said) == pytest.approx(expected)
    assert charges(two, Predictions({})) == pytest.approx(
        [-np.log(0.2), -0.25 * np.log(0.2) - 0.75 * np.log(0.8), np.log(2)]
    )


def test_the_better_one_replaces_and_says_by_how_much() -> None:
    found = judgments(200)
    said = compared(found, guess(found, 0.3), guess(found, 0.1), "reward@1", RULE)
    assert said.promoted
    assert said.overall is not None
    assert said.overall.difference == pytest.approx(np.log(0.6 / 0.8))
    assert said.by_head["love"].difference == pytest.approx(np.log(0.6 / 0.8))
    assert "reward@1" in said.reason


def test_worse_equal_and_too_little_evidence_keep_the_champion() -> None:
    found = judgments(200)
    assert not compared(found, guess(found, 0.1), guess(found, 0.3), "reward@1", RULE).promoted
    assert not compared(found, guess(found, 0.2), guess(found, 0.2), "reward@1", RULE).promoted
    few = judgments(12)
    said = compared(few, guess(few, 0.4), guess(few, 0.0), "reward@1", RULE)
    assert (said.promoted, said.overall) == (False, None)
    assert "8 more judgments needed" in said.reason


def test_one_person_however_loud_replaces_nobody() -> None:
    loud = judgments(500, people=3)
    said = compared(loud, guess(loud, 0.4), guess(loud, 0.0), "chance", RULE)
    assert not said.promoted
    assert "3 people" in said.reason


def test_the_test_is_over_people_not_rows() -> None:
    """Twenty people with fifty identical judgments each tell as much as twenty judgments."""
    rng = np.random.default_rng(3)
    once = judgments(20, seed=5)
    better = rng.random(20) < 0.65
    values = np.where(better, np.where(once.target > 0.5, 0.6, 0.4), np.where(once.target > 0.5, 0.4, 0.6))
    many = judgments(1000, people=20)
    rows = np.arange(1000) % 20
    repeated = Judgments(
        many.head, many.first, many.second, once.target[rows], np.ones(1000), many.people, {"love": 0.5}
    )
    rule = Rule(min_people=10, min_judgments=10, resamples=500)
    few = compared(once, Predictions({"love": values}), guess(once, 0.0), "x", rule)
    loud = compared(repeated, Predictions({"love": values[rows]}), guess(repeated, 0.0), "x", rule)
    one, two = few.by_head["love"], loud.by_head["love"]
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def both(one: Judgments, two: Judgments) -> Judgments:
    """The judgments of two heads, about answers of their own."""
    rows = np.concatenate([one.first, two.first + len(one)])
    return Judgments(
        one.head + ("dwell",) * len(two),
        rows,
        np.full(len(rows), -1),
        np.concatenate([one.target, two.target]),
        np.ones(len(rows)),
        one.people + two.people,
        {"love": 1 / 3, "dwell": 1 / 3},
    )


def test_one_head_better_and_none_worse_is_enough_and_one_worse_is_too_many() -> None:
    love, dwell = judgments(100), judgments(100, seed=1)
    found = both(love, dwell)
    sides = np.where(found.target > 0.5, 1.0, -1.0)

    def said(of_love: float, of_dwell: float) -> Predictions:
        return Predictions({"love": 0.5 + of_love * sides, "dwell": 0.5 + of_dwell * sides})

    champion = said(0.1, 0.1)
    assert compared(found, said(0.3, 0.1), champion, "reward@1", RULE).promoted
    kept = compared(found, said(0.4, 0.0), champion, "reward@1", RULE)
    assert not kept.promoted
    assert kept.overall is not None
    assert kept.overall.better, "although it is better taken together"
    assert "dwell" in kept.reason


def test_a_head_that_is_missing_is_charged_as_chance() -> None:
    found = judgments(100)
    assert compared(found, guess(found, 0.3), Predictions({}), "chance", RULE).promoted
    assert not compared(found, Predictions({}), guess(found, 0.3), "reward@1", RULE).promoted


@given(st.integers(0, 50))
def test_against_itself_nothing_ever_changes(seed: int) -> None:
    found = judgments(60, seed=seed)
    said = Predictions({"love": np.random.default_rng(seed).random(60)})
    assert not compared(found, said, said, "reward@1", RULE).promoted


def test_held_out_judgments_are_the_holdouts_and_derived_pairs_do_not_count_twice() -> None:
    rows = [answer(i, prompt=f"p{i // 2}", conversation=f"c{i // 2}") for i in range(20)]
    labels = [label(row, love=float(i % 2)) for i, row in enumerate(rows)]
    made = build(rows, labels, [pair(i, rows[2 * i + 1], rows[2 * i]) for i in range(10)])
    found = held_out_judgments(made)
    held = int(made.split.held_out.sum())
    assert found.head.count("love") == held
    assert found.head.count(UTILITY) == int(made.pair_held_out.sum()) > 0
    assert set(found.people) <= {row.user_key for row in rows} | {f"v{i}" for i in range(10)}
    assert made.split.held_out[found.rows].all()
    assert set(held_out_judgments(made, None, {"love"}).head) == {"love"}
    assert not len(held_out_judgments(made, np.zeros(20, bool)))


def test_what_a_model_cannot_have_seen() -> None:
    older = [answer(i) for i in range(10)]
    before = build(older, [label(row, love=1.0) for row in older])
    newer = [answer(10, prompt="prompt 0"), answer(11, conversation="c1"), answer(12)]
    data = build([*older, *newer], [label(row, love=1.0) for row in [*older, *newer]])
    place = {row.response_id: i for i, row in enumerate(data.answers)}
    unseen = unseen_by(data, before, 9.5)
    assert not unseen[place["r10"]], "its prompt was trained on"
    assert not unseen[place["r11"]], "its conversation was trained on"
    assert unseen[place["r12"]]
    held = {row.response_id for row, out in zip(before.answers, before.split.held_out, strict=True) if out}
    assert held
    assert all(unseen[place[name]] == (name in held) for name in (row.response_id for row in older))
    by_time = unseen_by(data, None, 9.5)
    assert [row.response_id for row, new in zip(data.answers, by_time, strict=True) if new] == ["r10", "r11", "r12"]
