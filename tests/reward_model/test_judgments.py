"""Repeated judgments are recognised in either order; columns that do not fit are refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.judgments import InvalidJudgments, gather, relative_weights, same_differences, same_pairs


def test_the_same_two_texts_are_one_pair_in_either_order() -> None:
    pair, direction = same_pairs(["a", "b", "a", "c"], ["b", "a", "c", "a"])
    assert pair.tolist() == [0, 0, 1, 1]
    assert direction.tolist() == [1, -1, 1, -1]


def test_differences_tell_the_same_as_texts() -> None:
    rows = np.array([[0.5, -1.0], [-0.5, 1.0], [0.5, -1.0 + 1e-12], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    pair, direction = same_differences(rows)
    assert pair.tolist() == [0, 0, 0, 1, 2, 3]
    assert direction[0] == -direction[1] == direction[2]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda p: p[0] != p[1]), max_size=20))
def test_swapping_every_record_keeps_pairs_and_relative_directions(records: list[tuple[int, int]]) -> None:
    one, two = [a for a, _ in records], [b for _, b in records]
    pair, direction = same_pairs(one, two)
    again, turned = same_pairs(two, one)
    assert pair.tolist() == again.tolist()
    assert direction.tolist() == turned.tolist()  # both are relative to the pair's first record
    vectors = np.eye(5)
    by_rows, _ = same_differences(np.array([vectors[a] - vectors[b] for a, b in records]).reshape(-1, 5))
    assert by_rows.tolist() == pair.tolist()


def test_unknown_authors_are_judges_of_their_own_and_a_person_in_two_sources_is_two() -> None:
    made = gather(
        np.array([0, 1, 1, 2, 2]),
        np.ones(5),
        people=[None, None, "ann", "ann", "ann"],
        sources=["duel", "duel", "duel", "edit", "duel"],
    )
    assert made.judge.tolist() == [0, 1, 2, 3, 2]
    assert made.people == (None, None, "ann", "ann")
    assert made.source_names == ("duel", "edit")
    assert made.source.tolist() == [0, 0, 0, 1]
    assert made.redundant
    assert made.pairs == 3
    assert made.count == 5
    assert made.judges == 4
    assert not gather(np.array([0, 1]), np.ones(2)).redundant
    assert made.of(made.pair == 2).says.tolist() == [1.0, 1.0]


def test_weights_are_relative_to_the_weightiest_of_the_pair() -> None:
    heaviest, relative = relative_weights(np.array([0, 0, 1]), np.array([0.5, 0.25, 0.1]))
    assert heaviest.tolist() == [0.5, 0.1]
    assert relative.tolist() == [1.0, 0.5, 1.0]


def test_what_cannot_be_is_named_with_its_row() -> None:
    pair = np.array([0, 0])
    with pytest.raises(InvalidJudgments, match=r"says is 1\.5 in row 1") as caught:
        gather(pair, np.array([1.0, 1.5]))
    assert caught.value.field == "says"
    with pytest.raises(InvalidJudgments, match="people has 1 rows"):
        gather(pair, np.ones(2), people=["a"])
    with pytest.raises(InvalidJudgments, match="weight is nan in row 0"):
        gather(pair, np.ones(2), weight=np.array([np.nan, 1.0]))


def test_nothing_is_gathered_from_nothing() -> None:
    made = gather(np.zeros(0, np.int64), np.zeros(0))
    assert (made.pairs, made.count, made.judges, made.redundant) == (0, 0, 0, False)
