"""New conversations and new people."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.new_people import PeopleOptions, PeopleSplit, hold_out_people
from reward_model.split import Split

NO_PAIRS = np.zeros((0, 2), np.int64)


def split_of(held_out: list[bool]) -> Split:
    held = np.array(held_out, bool)
    return Split(np.arange(len(held)), held, np.zeros(len(held), bool), None)


def by_person(
    held_out: list[bool],
    judges: list[str],
    options: PeopleOptions | None = None,
    pairs: Sequence[tuple[int, int, str]] = (),
) -> PeopleSplit:
    index = np.array([row[:2] for row in pairs], np.int64).reshape(-1, 2)
    return hold_out_people(
        split_of(held_out),
        index,
        [tuple(some) for some in judges],
        [tuple(row[2]) for row in pairs],
        np.ones(len(held_out), bool),
        options or PeopleOptions(),
    )


def test_people_who_are_new_anyway_are_flagged() -> None:
    #                       trained on            held out
    found = by_person([False, False, True, True, True], ["a", "b", "a", "c", ""])
    assert found.answers_new.tolist() == [False, False, False, True, False], "who is unknown is not known to be new"
    assert not found.split.left_out.any()
    assert found.people == frozenset()


def test_one_of_several_judges_is_enough_to_be_known() -> None:
    assert not by_person([False, True], ["a", "ac"]).answers_new.any()


def test_a_pair_follows_its_judge_not_its_answers() -> None:
    found = by_person([False, True, True], ["a", "b", "b"], pairs=[(1, 2, "a"), (1, 2, "d")])
    assert found.pairs_new.tolist() == [False, True]
    trained = by_person([False, False, True, True], ["a", "b", "c", "c"], pairs=[(0, 1, "c")])
    assert not trained.answers_new.any(), "c judged a pair that is trained on"


def test_some_become_new_by_leaving_out_what_they_said_before() -> None:
    judges = [f"{i % 10}" for i in range(100)]
    found = by_person([False] * 80 + [True] * 20, judges, PeopleOptions(0.25, 0.5))
    assert found.answers_new.sum() == 6, "each of ten people has two of the twenty: three people make a quarter"
    assert len(found.people) == 3
    assert found.split.left_out.sum() == 24
    assert found.split.training.sum() == 56


def test_what_it_may_cost_is_bounded() -> None:
    judges = [f"{i % 10}" for i in range(100)]
    found = by_person([False] * 80 + [True] * 20, judges, PeopleOptions(0.25, 0.15))
    assert (len(found.people), found.split.left_out.sum()) == (1, 8)
    assert not by_person([False] * 80 + [True] * 20, judges, PeopleOptions(0.25, 0.0)).people


def test_people_who_are_new_anyway_cost_nothing() -> None:
    found = by_person([False, False, True, True], ["a", "b", "c", "a"], PeopleOptions(0.5, 0.9))
    assert not found.people
    assert found.answers_new.tolist() == [False, False, True, False]


def test_pairs_of_who_became_new_are_not_trained_on() -> None:
    found = by_person([False, False, False, True], ["x", "y", "a", "a"], PeopleOptions(0.9, 0.9), pairs=[(0, 1, "a")])
    assert found.people == {"a"}
    assert found.pairs_left_out.tolist() == [True]
    assert found.split.left_out.tolist() == [False, False, True, False], "x and y said nothing with a"


def test_nothing_splits_into_nothing() -> None:
    assert by_person([], []).answers_new.shape == (0,)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.booleans(), st.text("abcdef", max_size=2)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29), st.text("abcdef", max_size=2)), max_size=15),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
)
def test_nobody_new_is_learned_from(
    rows: list[tuple[bool, str]], pairs: list[tuple[int, int, str]], fraction: float, cost: float
) -> None:
    held, judges = [row[0] for row in rows], [row[1] for row in rows]
    within = [row for row in pairs if max(row[:2]) < len(rows)]
    found = by_person(held, judges, PeopleOptions(fraction, cost), within)
    index = np.array([row[:2] for row in within], np.int64).reshape(-1, 2)
    trained_pairs = found.split.training[index].all(1) & ~found.pairs_left_out
    learned = {n for some, used in zip(judges, found.split.training, strict=True) if used for n in some}
    learned |= {n for row, used in zip(within, trained_pairs, strict=True) if used for n in row[2]}
    for flags, names in ((found.answers_new, judges), (found.pairs_new, [row[2] for row in within])):
        for new, some in zip(flags, names, strict=True):
            if new:
                assert some
                assert not set(some) & learned
    assert not (found.answers_new & ~np.array(held)).any()
    assert found.people.isdisjoint(learned)
    base = (~np.array(held)).sum() + (~np.array(held))[index].all(1).sum()
    lost = found.split.left_out.sum() + found.pairs_left_out.sum()
    assert lost <= cost * base + 1e-9


def test_the_choice_of_people_is_stable() -> None:
    judges = [f"{i % 10}" for i in range(100)]
    held = [False] * 80 + [True] * 20
    options = PeopleOptions(0.25, 0.5)
    assert by_person(held, judges, options).people == by_person(held[::-1], judges[::-1], options).people
    assert by_person(held, judges, options).people == set("367"), "golden: the same on every machine"


@pytest.mark.parametrize("options", [PeopleOptions(), PeopleOptions(0.0, 0.5)])
def test_asked_for_none_nobody_is_left_out(options: PeopleOptions) -> None:
    assert not by_person([False, True], ["a", "a"], options).people
