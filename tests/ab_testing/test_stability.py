"""Later people, and people left out."""

from hypothesis import given
from hypothesis import strategies as st

from ab_testing.stability import PLACES, LaterPeople, Sums, difference, without


def counted(people: int) -> tuple[LaterPeople, Sums]:
    """Person k, from 1, adds k to the challenger's values: what is left out can be read off the sums."""
    state, sums = LaterPeople(), (0.0, 0.0, 0.0, 0.0)
    for k in range(1, people + 1):
        sums = (sums[0] + k, sums[1] + 1, sums[2] + 1, sums[3] + 2)
        state.update(k, sums)
        if k % 7 == 0:
            state = LaterPeople.unpack(state.pack())
    return state, sums


@given(st.integers(1, 3000))
def test_the_later_part_is_half_of_the_people_or_a_little_more(people: int) -> None:
    state, sums = counted(people)
    later = state.later(people, sums)
    first = people - int(later[1])
    assert later == (sum(range(first + 1, people + 1)), people - first, people - first, 2 * (people - first))
    assert people / 2 <= later[1]
    if people >= PLACES:
        assert later[1] <= people * 2 / 3 + 1
    assert len(state.pack()) <= 4 + PLACES * 16


def test_difference_of_rates_and_of_ratios() -> None:
    assert difference((3.0, 10.0, 1.0, 10.0)) == 0.3 - 0.1
    assert difference((3.0, 10.0, 1.0, 0.0)) is None
    left = without((3.0, 10.0, 1.0, 4.0), [("challenger", 1.0, 2.0), ("control", 1.0, 1.0)], "challenger")
    assert left == (2.0, 8.0, 0.0, 3.0)
