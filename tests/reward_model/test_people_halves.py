"""Two disjoint halves of the people."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reward_model.people_halves import half_of, halves

GOLDEN = [1, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_a_person_is_in_one_half_wherever_they_talk() -> None:
    assert len({half_of("ann", f"c{i}") for i in range(50)}) == 1


def test_without_a_person_the_conversation_decides() -> None:
    found = halves([None, None, "", None], ["c1", "c1", "c1", "c2"])
    assert found[0] == found[1] == found[2]
    assert {half_of(None, f"c{i}") for i in range(20)} == {0, 1}


def test_halves_are_the_same_for_ever() -> None:
    """Golden: a change of the hash would mix the halves of models that are in use."""
    assert halves([f"u{i}" for i in range(16)], [""] * 16).tolist() == GOLDEN


def test_halves_are_halves_and_a_salt_deals_anew() -> None:
    people = [f"person-{i}" for i in range(4000)]
    one, other = halves(people, people), halves(people, people, salt="2")
    # Four standard deviations of a fair coin.
    assert abs(one.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    assert abs((one == other).mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)


def test_a_person_and_a_conversation_of_one_name_are_two() -> None:
    assert any(half_of(f"n{i}", "") != half_of(None, f"n{i}") for i in range(20))


@given(st.lists(st.tuples(st.none() | st.text(max_size=5), st.text(max_size=5)), max_size=20), st.randoms())
def test_other_people_do_not_matter(rows: list[tuple[str | None, str]], random: object) -> None:
    people, conversations = [row[0] for row in rows], [row[1] for row in rows]
    found = halves(people, conversations)
    assert set(found.tolist()) <= {0, 1}
    assert found.tolist() == [int(halves([p], [c])[0]) for p, c in rows]
    of_person: dict[str, int] = {}
    for name, half in zip(people, found.tolist(), strict=True):
        if name:
            assert of_person.setdefault(name, half) == half


def test_nobody() -> None:
    assert halves([], []).shape == (0,)
