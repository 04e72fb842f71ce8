"""The crowd: reproducible, varied, mostly silent, and hard on answers that do not answer."""

import numpy as np
import pytest

from plaudit.people.attributes import attributes_of, fluency
from plaudit.people.behaviour import compare, react
from plaudit.people.crowd import person

GOOD = "You can start small: for example, walk ten minutes a day at your own pace."
PLAIN = "The matter depends on several circumstances and cannot be stated in general terms here"


def test_a_person_is_always_the_same() -> None:
    assert np.array_equal(person(3, 7).tastes, person(3, 7).tastes)
    assert not np.array_equal(person(3, 7).tastes, person(3, 8).tastes)


@pytest.mark.parametrize(
    ("text", "finished", "expected"),
    [
        (GOOD, True, [1, 1, 1, 1]),
        (PLAIN, True, [0, 0, 0, 0]),
        ("You should rest.", True, [0, 1, 0, 0]),  # too short to be complete, and one "you" is not two
        ("Plants need light, water and air to grow well every day.", True, [0, 1, 0, 1]),
        ("To grow, plants need light, water and air every day.", False, [0, 0, 0, 0]),
    ],
)
def test_attributes_by_hand(text: str, finished: bool, expected: list[int]) -> None:
    assert attributes_of(text, finished=finished).tolist() == expected


def test_fluency_falls_with_repetition_and_odd_characters() -> None:
    assert fluency(GOOD) > 0.95
    assert fluency("the cat the cat the cat the cat the cat the cat") < 0.3
    assert fluency("¤¤¤ word ¤¤¤ word two ¤¤¤ three four ¤¤¤") < 0.5


def test_length_alone_changes_nothing() -> None:
    long = PLAIN + " and more words follow without anything that anybody looks for in an answer"
    assert attributes_of(long, finished=True).tolist() == attributes_of(PLAIN, finished=True).tolist()


def test_love_rises_with_attributes_and_falls_with_irrelevance() -> None:
    everyone = [person(1, i) for i in range(300)]
    seen = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]], dtype=float)
    relevance = np.array([1.0, 1.0, 0.0])
    rates = np.mean([p.like_probability(p.satisfaction(seen, relevance)) for p in everyone], axis=0)
    assert rates[0] < 0.08 < 0.35 < rates[1]
    assert rates[2] < 0.5 * rates[1]


def test_most_answers_meet_silence_and_every_event_has_its_own_id() -> None:
    draw = np.random.default_rng(0)
    votes, ids = 0, set()
    for index in range(400):
        who = person(1, index)
        u = float(who.satisfaction(np.array([[0, 1, 0, 1]], dtype=float), np.ones(1))[0])
        reaction = react(who, "r", PLAIN, u, 1000.0, draw)
        signals = [e["signal"] for e in reaction.events]
        assert signals[:2] == ["shown", "dwell"]
        votes += "like" in signals or "dislike" in signals
        ids |= {e["event_id"] for e in reaction.events}
        assert all(e["user"] == who.name for e in reaction.events)
    assert votes < 200
    assert len(ids) >= 800


def test_the_better_answer_is_kept_more_often() -> None:
    draw = np.random.default_rng(0)
    who = person(1, 1)
    kept = [compare(who, ("a", -1.0), ("b", 2.0), 0.0, draw)[1]["response_id"] for _ in range(300)]
    assert 0.80 < kept.count("b") / 300 < 0.97  # sigmoid(3) = .95, less 5 % slips
