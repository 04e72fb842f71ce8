"""The compiled router: what `assign` says, for several experiments at once."""

from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ab_testing.layers import Router
from ab_testing.routing import POINTS, assign, drawn_on, layer_salt, point
from infra.contracts import Experiment, Phase
from infra.settings.ab_routing import HashMode
from tests.ab_testing.assignment_people import assigned, experiment, in_process, moved, python_command, snapshots

USERS = [f"user-{number}" for number in range(10_000)]


@given(
    st.integers(1, 5).flatmap(lambda k: st.tuples(st.just(k), st.floats(1e-6, 1 / (2 * k)))),
    st.text(max_size=20),
    st.text(alphabet=st.characters(), max_size=40),
)
def test_it_says_what_assign_says(candidates_share: tuple[int, float], salt: str, user: str) -> None:
    candidates, share = candidates_share
    one = experiment("a", share, others=tuple(f"o@{n}" for n in range(1, candidates)), salt=salt)
    assert Router("shop", [one]).draw(user) == assign(one, user)
    shares = tuple(share * (place + 1) / candidates for place in range(candidates))
    uneven = msgspec.structs.replace(one, phases=(Phase(1, share, 0.0, shares),))
    assert Router("shop", [uneven]).draw(user) == assign(uneven, user)


@given(st.floats(0, 0.5), st.floats(0.5, 1), st.text(max_size=30))
def test_a_slot_takes_exactly_the_people_it_draws_on(low: float, high: float, user: str) -> None:
    one = experiment("a", 0.2, slot=(low, high))
    found = Router("shop", [one]).draw(user)
    assert found == (assign(one, user) if drawn_on(one, user) else None)
    if not drawn_on(one, user):
        assert assign(one, user).arm is None


@pytest.mark.parametrize("share", [0.3, 1 / 3, 0.5, 0.1 + 0.2])
@pytest.mark.parametrize("known", [1, 2, 3])
def test_edges_fall_where_assign_puts_them(share: float, known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points just around every edge: hash values one cannot find by trying."""
    import ab_testing.layers
    import ab_testing.routing

    share = min(share, 1 / (2 * known))
    one = experiment("a", share, others=tuple(f"o@{n}" for n in range(1, known)))
    edge = int(share * POINTS)
    corners = [i * POINTS // (2 * known) + shift for i in range(2 * known) for shift in (0, edge)] + [POINTS - edge]

    class Fixed:
        def __init__(self, value: int) -> None:
            self.value = value

        def digest(self) -> bytes:
            return self.value.to_bytes(8, "big")

    for place in sorted({min(max(corner + d, 0), POINTS - 1) for corner in corners for d in (-2, -1, 0, 1, 2)}):
        for module in (ab_testing.layers, ab_testing.routing):
            monkeypatch.setattr(module, "blake2b", lambda _text, digest_size, place=place: Fixed(place))
        assert Router("shop", [one]).draw("x") == assign(one, "x"), hex(place)


def test_experiments_in_disjoint_slots_exclude_each_other() -> None:
    a, b = experiment("a", 0.5, slot=(0.0, 0.4)), experiment("b", 0.5, slot=(0.4, 0.9))
    draw = Router("shop", [b, a]).draw
    found = [draw(user) for user in USERS]
    for name, expected in (("a", 0.4), ("b", 0.5), (None, 0.1)):
        share = np.mean([(f.experiment_id if f else None) == name for f in found])
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(USERS))
    assert {(f.arm, f.propensity) for f in found if f} == {("challenger", 0.5), ("control", 0.5)}


def test_of_two_slots_that_overlap_the_older_experiment_has_the_people() -> None:
    old = experiment("z", 0.5, slot=(0.2, 0.6), started_at=1.0)
    new = experiment("a", 0.5, slot=(0.0, 0.5), started_at=2.0)
    twin = experiment("y", 0.5, slot=(0.0, 1.0), started_at=2.0)
    for order in ([old, new, twin], [twin, new, old], [new, twin, old]):
        draw = Router("shop", order).draw
        for user in USERS[:500]:
            place = point(layer_salt("shop"), user) / POINTS
            found = draw(user)
            assert found is not None
            assert found.experiment_id == ("z" if 0.2 <= place < 0.6 else "a" if place < 0.2 else "y")


def test_the_top_of_the_layer_is_held_out_of_everything() -> None:
    draw = Router("shop", [experiment("a", 0.5)], holdout_share=0.1).draw
    held = [user for user in USERS if draw(user) is None]
    assert abs(len(held) / len(USERS) - 0.1) < 0.012
    assert all(point(layer_salt("shop"), user) / POINTS > 0.9 for user in held)
    other = Router("shop", [experiment("b", 0.5, salt="other")], holdout_share=0.1).draw
    assert held == [user for user in USERS if other(user) is None], "the same people, whatever runs"


@pytest.mark.parametrize("mode", ["own", "growthbook_v1", "growthbook_v2"])
def test_a_candidate_that_has_left_takes_nobody_and_moves_nobody(mode: HashMode) -> None:
    """Its people get the champion here and in whatever asks this router or its twin, not what was taken back."""
    before = experiment("a", 0.1, others=("o@1", "o@2"))
    after = msgspec.structs.replace(before, config={"dropped": ["challenger-2"]})
    first, then = (Router("shop", [one], hash_mode=mode).draw for one in (before, after))
    for user in USERS[:2000]:
        was, found = first(user), then(user)
        assert was is not None
        assert found is not None
        if was.arm in (None, "challenger-2"):
            assert (found.arm, found.adapter, found.propensity) == (None, "style@1", pytest.approx(0.7, abs=0.002))
        else:
            assert found == was
        assert mode != "own" or found == assign(after, user)


def test_a_sentinel_takes_nobody() -> None:
    sentinel = experiment("s", 0.5, kind="sentinel", started_at=0.0)
    assert Router("shop", [sentinel]).draw("user-1") is None
    assert Router("shop", []).draw("user-1") is None
    both = Router("shop", [sentinel, experiment("a", 0.5)])
    assert [e.experiment_id for e in both.experiments] == ["a"]
    assert both.draw("user-1") == Router("shop", [experiment("a", 0.5)]).draw("user-1")


def test_another_project_has_another_layer() -> None:
    halves = {name: Router(name, [experiment("a", 0.5, slot=(0.0, 0.5))]).draw for name in ("shop", "forum")}
    both = sum(all(draw(user) for draw in halves.values()) for user in USERS) / len(USERS)
    assert abs(both - 0.25) < 0.02


def test_a_lone_half_of_a_surrogate_pair_counts_as_u_fffd() -> None:
    assert point("s", "a\ud83d") == point("s", "a�")
    assert point("s", "\ud83d\ude00") == point("s", "😀"), "two halves are the character they make"
    draw = Router("shop", [experiment("a", 0.5)]).draw
    assert draw("a\ud83d") == draw("a�") == assign(experiment("a", 0.5), "a\ud83d")


@cache
def high_words(salt: str, people: int) -> np.ndarray:
    """The upper 32 bits of everybody's point."""
    return np.array([point(salt, f"{number:032x}") >> 32 for number in range(people)], dtype=np.int64)


def uniformity(salt: str, people: int, cells: int = 1000) -> float:
    """p-value of Pearson's test that points fall evenly."""
    found = high_words(salt, people) * cells >> 32
    return float(stats.chisquare(np.bincount(found, minlength=cells)).pvalue)


def independence(one: str, other: str, people: int, cells: int = 20) -> float:
    """p-value of Pearson's test that the points under two salts have nothing to do with each other."""
    places = [high_words(salt, people) * cells >> 32 for salt in (one, other)]
    table = np.bincount(places[0] * cells + places[1], minlength=cells * cells).reshape(cells, cells)
    return float(stats.chi2_contingency(table).pvalue)


def test_points_are_even_and_salts_independent() -> None:
    salts = [layer_salt("shop"), "salt-1", "salt-2", "salt-11", ""]
    evenness = [uniformity(salt, 10_000, 100) for salt in salts]
    between = [independence(one, other, 10_000, 10) for one, other in pairwise(salts)]
    # Nine tests of one fixed outcome each: a p-value below 1e-4 has a chance of 0.1 % over all of them.
    assert min(evenness + between) > 1e-4
    assert independence("salt-1", "salt-1", 10_000, 10) < 1e-100, "the test finds dependence"


def test_a_fresh_process_assigns_alike_and_no_step_moves_anybody(tmp_path: object) -> None:
    task = {"snapshots": snapshots(), "people": 10_000}
    codes, meanings = assigned(task)
    again, again_meanings = in_process(python_command(), task, tmp_path)  # type: ignore[arg-type]
    assert np.array_equal(codes, again)
    assert meanings == again_meanings
    ids = [sorted(row["experiment_id"] for row in snapshot["experiments"]) for snapshot in task["snapshots"]]  # type: ignore[attr-defined]
    assert moved(codes, ids) == 0
    other = msgspec.structs.replace(experiment("a", 0.5), slot=(0.0, 0.6), salt="changed")
    spoiled = dict(snapshots()[2])
    spoiled["experiments"] = [msgspec.to_builtins(other), spoiled["experiments"][1]]
    broken, _ = assigned({"snapshots": [snapshots()[1], spoiled], "people": 10_000})
    assert moved(broken, ids[1:3]) > 100, "the count finds people who moved"


def test_phases_of_the_snapshot_are_those_of_the_newest_step() -> None:
    grown = msgspec.structs.replace(experiment("a", 0.01), phases=(Phase(0, 0.01, 0.0), Phase(1, 0.5, 1.0)))
    found = Router("shop", [grown]).draw("user-1")
    assert found is not None
    assert (found.phase, found.propensity) == (1, 0.5)
    assert isinstance(grown, Experiment)
