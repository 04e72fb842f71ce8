"""Which signals hold: golden cases, and that nothing but the versions themselves decides."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.ledger import OWNER, derived_at, surviving
from tests.ingest.builders import START, version


def held(versions: list, owner: str | None = None) -> list[tuple[str, str, float | None]]:
    return [(signal.voter, signal.signal, signal.value) for signal in surviving(versions, owner)]


@pytest.mark.parametrize(
    ("received", "created", "sent", "expected"),
    [
        (1000.0, None, None, 1000.0),
        (1000.0, 900.0, None, 900.0),
        (1000.0, 1900.0, 1950.0, 950.0),  # a clock 950 s fast: 50 s passed between acting and sending
        (1000.0, 100.0, 150.0, 950.0),  # a slow clock says the same
        (1000.0, 2000.0, None, 1000.0),  # the future is clamped
        (1000.0, 2000.0, 1500.0, 1000.0),
        (1000.0, 0.0, 5000.0, 0.0),  # nor before 1970
    ],
)
def test_derived_at(received: float, created: float | None, sent: float | None, expected: float) -> None:
    assert derived_at(received, created, sent) == expected


def test_the_latest_by_time_of_action_holds_whatever_came_last() -> None:
    assert held([version("rating", 20, value=0.9), version("rating", 10, value=0.1)]) == [(OWNER, "rating", 0.9)]


def test_equal_times_are_decided_by_the_event_id() -> None:
    first, second = version("rating", 10, value=0.1), version("rating", 10, value=0.9)
    assert held([second, first]) == held([first, second]) == [(OWNER, "rating", 0.9)]


def test_withdrawing_removes_and_setting_again_restores() -> None:
    like, gone, again = version("like", 1), version("like", 2, operation="withdraw"), version("like", 3)
    assert held([gone, like]) == []
    assert held([again, gone, like]) == [(OWNER, "like", None)]


def test_a_dislike_takes_back_the_like_for_good() -> None:
    like, dislike = version("like", 1), version("dislike", 2)
    assert held([dislike, like]) == [(OWNER, "dislike", None)]
    assert held([version("dislike", 3, operation="withdraw"), dislike, like]) == []


def test_withdrawing_a_dislike_that_never_was_leaves_the_like() -> None:
    assert held([version("like", 1), version("dislike", 2, operation="withdraw")]) == [(OWNER, "like", None)]


def test_events_without_a_user_are_the_owners() -> None:
    assert held([version("like", 1, user_key="k"), version("like", 2, operation="withdraw")], owner="k") == []
    assert held([version("like", 1, user_key="k"), version("like", 2, operation="withdraw")], owner="j") == [
        ("k", "like", None)
    ]


def test_duels_with_different_answers_are_different_signals() -> None:
    duels = [version("duel", 1, other_response_id="a"), version("duel", 2, other_response_id="b")]
    assert len(held(duels)) == 2


_versions = st.lists(
    st.builds(
        version,
        st.sampled_from(["like", "dislike", "rating", "shown"]),
        st.sampled_from([START, START + 1, START + 2]),
        operation=st.sampled_from(["set", "set", "withdraw"]),
        user_key=st.sampled_from([None, "a", "b"]),
    ),
    max_size=12,
)


@given(_versions, st.randoms(use_true_random=False), st.sampled_from([None, "a"]))
def test_order_and_repetition_do_not_matter(versions: list, shuffler: random.Random, owner: str | None) -> None:
    expected = surviving(versions, owner)
    shuffled = versions + versions[: len(versions) // 2]
    shuffler.shuffle(shuffled)
    assert surviving(shuffled, owner) == expected


@given(_versions, st.sampled_from([None, "a"]))
def test_against_replaying_the_history_in_order(versions: list, owner: str | None) -> None:
    """The oracle walks through history as it happened and keeps the state of each button."""
    state: dict[tuple[str, str], str] = {}
    for v in sorted(versions, key=lambda v: (v.derived_at, v.event_id)):
        voter = v.user_key or owner or OWNER
        if v.operation == "withdraw":
            state.pop((voter, v.signal), None)
            continue
        state[voter, v.signal] = v.event_id
        if v.signal in ("like", "dislike"):
            state.pop((voter, "dislike" if v.signal == "like" else "like"), None)
    assert {(s.voter, s.signal): s.version.event_id for s in surviving(versions, owner)} == state
