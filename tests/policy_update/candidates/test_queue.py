from hypothesis import given
from hypothesis import strategies as st

from policy_update.candidates.queue import Gated, states


def test_the_best_by_gain_go_first_and_the_rest_wait_in_reserve() -> None:
    gated = [Gated("a", True, 0.1), Gated("b", False, 9.0), Gated("c", True, 0.3), Gated("d", True, 0.1)]
    assert states(gated, 2) == {"a": "challenger", "b": "refused", "c": "challenger", "d": "reserve"}
    assert states([], 3) == {}


@given(st.lists(st.tuples(st.booleans(), st.floats(-1, 1)), max_size=8), st.integers(1, 4))
def test_nothing_that_passed_is_lost_and_nothing_refused_gets_on(rows: list[tuple[bool, float]], most: int) -> None:
    gated = [Gated(str(number), passed, gain) for number, (passed, gain) in enumerate(rows)]
    found = states(gated, most)
    assert {name for name, state in found.items() if state == "refused"} == {g.ref for g in gated if not g.passed}
    chosen = [g.gain for g in gated if found[g.ref] == "challenger"]
    assert len(chosen) == min(most, sum(g.passed for g in gated))
    assert all(g.gain <= min(chosen) for g in gated if found[g.ref] == "reserve")
