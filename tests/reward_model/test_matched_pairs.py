"""Preferences out of labels of answers to one prompt."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.matched_pairs import MatchedOptions, Opinion, compare_labels, matched_pairs
from reward_model.people_halves import SALT, half_of
from tests.reward_model.builders import answer, label, pair

OPTIONS = MatchedOptions(weight=1.0)


def opinion(number: int, value: float, **more: object) -> Opinion:
    """Person u<number>'s opinion of their own answer to prompt q; everybody of one half."""
    fields: dict[str, object] = {
        "key": (f"r{number}", 0),
        "prompt_key": "q",
        "text_key": f"t{number}",
        "person": f"u{number}",
        "half": 0,
        "adapter": "base",
        "arm": None,
        "propensity": None,
        "value": value,
        "weight": 1.0,
        "made_at": float(number),
    }
    return Opinion(**{**fields, **more})  # type: ignore[arg-type]


def test_who_likes_against_who_does_not() -> None:
    found = matched_pairs([opinion(1, 0.0), opinion(2, 1.0)], OPTIONS, explicit=False)
    assert [(p.preferred, p.other, p.soft, p.margin, p.weight, p.source) for p in found] == [
        (("r2", 0), ("r1", 0), 1.0, 1.0, 1.0, "matched")
    ]
    assert (found[0].user_key, found[0].other_user, found[0].made_at) == ("u2", "u1", 2.0)


def test_grades_make_soft_labels_and_margins() -> None:
    found = matched_pairs([opinion(1, 0.75, weight=1.0), opinion(2, 0.25, weight=3.0)], OPTIONS, explicit=True)
    assert (found[0].soft, found[0].margin) == (0.75, 0.5)
    assert found[0].weight == pytest.approx(2 * 1 * 3 / 4)


def test_an_arm_few_people_got_counts_as_much() -> None:
    rare = opinion(1, 1.0, arm="e:challenger", propensity=0.05)
    common = opinion(2, 0.0, arm="e:control", propensity=0.95)
    assert matched_pairs([rare, common], OPTIONS, explicit=False)[0].weight == pytest.approx(0.25 / (0.05 * 0.95))
    even = [replace(one, propensity=0.5) for one in (rare, common)]
    assert matched_pairs(even, OPTIONS, explicit=False)[0].weight == 1.0
    tiny = [replace(one, propensity=0.001) for one in (rare, common)]
    assert matched_pairs(tiny, OPTIONS, explicit=False)[0].weight == OPTIONS.clip


@pytest.mark.parametrize(
    "other",
    [
        opinion(2, 1.0, prompt_key="another"),
        opinion(2, 1.0, half=1),
        opinion(2, 1.0, text_key="t1"),
        opinion(2, 0.0),
        opinion(2, 1.0, person="u1"),  # one person, one adapter: a regeneration says it itself
        opinion(2, 1.0, key=("r1", 1)),  # two choices of one request
    ],
)
def test_what_cannot_be_compared_is_not(other: Opinion) -> None:
    assert matched_pairs([opinion(1, 0.0), other], OPTIONS, explicit=False) == []


def test_one_person_with_two_adapters_can_be_compared() -> None:
    found = matched_pairs([opinion(1, 0.0), opinion(2, 1.0, person="u1", adapter="a@2")], OPTIONS, explicit=False)
    assert found[0].judges == ("u1",)


def test_ties_only_where_asked_for_and_where_one_person_voted_twice() -> None:
    twice = [opinion(1, 1.0), opinion(2, 1.0, person="u1", adapter="a@2")]
    ties = replace(OPTIONS, ties=True)
    assert matched_pairs(twice, OPTIONS, explicit=True) == []
    assert matched_pairs(twice, ties, explicit=False) == [], "two silences are no tie"
    assert [(p.soft, p.margin) for p in matched_pairs(twice, ties, explicit=True)] == [(0.5, 0.0)]
    assert matched_pairs([twice[0], replace(twice[1], person="u2")], ties, explicit=True) == []


def test_a_prompt_everybody_asks_is_bounded() -> None:
    opinions = [opinion(i, float(i % 2)) for i in range(1000)]
    found = matched_pairs(opinions, OPTIONS, explicit=False)
    degree = Counter(key for p in found for key in (p.preferred, p.other))
    assert max(degree.values()) == OPTIONS.per_answer
    assert 300 < len(found) <= 400


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), max_size=25), st.randoms())
def test_order_does_not_matter_and_the_better_one_comes_first(rows: list[tuple[int, float]], random: object) -> None:
    opinions = [opinion(i, value, prompt_key=f"q{prompt}") for i, (prompt, value) in enumerate(rows)]
    found = matched_pairs(opinions, OPTIONS, explicit=False)
    shuffled = list(opinions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert matched_pairs(shuffled, OPTIONS, explicit=False) == found
    of_key = {one.key: one for one in opinions}
    for p in found:
        better, worse = of_key[p.preferred], of_key[p.other]
        assert better.prompt_key == worse.prompt_key
        assert better.value - worse.value == p.margin > 0
        assert p.soft == (1 + p.margin) / 2
    assert len({frozenset((p.preferred, p.other)) for p in found}) == len(found)


def test_pairs_of_silent_votes_follow_bradley_terry() -> None:
    """Among pairs that differ, the better of two utilities wins as often as the logistic function of the difference."""
    rng = np.random.default_rng(0)
    opinions = []
    for i in range(8000):
        good = i % 2 == 0
        liked = rng.random() < 1 / (1 + np.exp(1.5 if not good else 0.3))
        opinions.append(opinion(i, float(liked), prompt_key=f"q{i // 2}", text_key="good" if good else "bad"))
    found = matched_pairs(opinions, OPTIONS, explicit=False)
    share = np.mean([int(p.preferred[0][1:]) % 2 == 0 for p in found])
    assert len(found) > 1000
    assert share == pytest.approx(1 / (1 + np.exp(-1.2)), abs=4 * np.sqrt(0.18 / len(found)))


def same_half(count: int) -> list[str]:
    names = (f"u{i}" for i in range(1000))
    return [name for name in names if half_of(name, "", SALT) == 0][:count]


def test_out_of_labels_votes_come_before_silence_and_what_is_compared_is_not_compared_again() -> None:
    people = same_half(3)
    rows = [answer(i, prompt="q", user_key=people[i]) for i in range(3)]
    labels = [
        label(rows[0], love=1.0, sentiment=0.6),
        label(rows[1], love=0.0, sentiment=0.8),
        label(rows[2], love=0.0),
    ]
    known = {row.key: row for row in rows}
    found = compare_labels(known, labels, [], OPTIONS, SALT)
    assert {(p.preferred[0], p.other[0], round(p.margin, 9)) for p in found} == {("r1", "r0", 0.2), ("r0", "r2", 1.0)}
    rest = compare_labels(known, labels, [pair(0, rows[2], rows[0])], OPTIONS, SALT)
    assert {(p.preferred[0], p.other[0]) for p in rest} == {("r1", "r0")}


def test_labels_of_several_people_belong_to_no_half() -> None:
    people = same_half(2)
    rows = [answer(i, prompt="q", user_key=people[i]) for i in range(2)]
    labels = [replace(label(rows[0], love=1.0), judges=tuple(people)), label(rows[1], love=0.0)]
    assert compare_labels({row.key: row for row in rows}, labels, [], OPTIONS, SALT) == []


def test_no_weight_no_pairs() -> None:
    assert matched_pairs([opinion(1, 0.0), opinion(2, 1.0)], replace(OPTIONS, weight=0.0), explicit=False) == []
