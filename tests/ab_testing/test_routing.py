"""Assignment: sticky, disjoint, uniform, with the probability it was made with."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.routing import assign, point
from infra.contracts import Experiment, Phase

SHARES = st.floats(0.001, 0.5)


def experiment(*shares: float, salt: str = "salt") -> Experiment:
    return Experiment(
        project="p",
        experiment_id="exp-1",
        challenger="style@2",
        control="base",
        salt=salt,
        status="running",
        phases=tuple(Phase(index, share, 0.0) for index, share in enumerate(shares)),
        started_at=0.0,
    )


@given(st.lists(SHARES, min_size=2, max_size=5).map(sorted), st.text(max_size=40))
def test_a_growing_ramp_moves_nobody_who_was_counted(shares: list[float], user: str) -> None:
    arms = [assign(experiment(*shares[: k + 1]), user).arm for k in range(len(shares))]
    counted = [arm for arm in arms if arm is not None]
    assert len(set(counted)) <= 1
    if counted:
        assert all(arm is not None for arm in arms[arms.index(counted[0]) :])


def test_shares_and_propensities() -> None:
    found = [assign(experiment(0.2), f"user-{n}") for n in range(20_000)]
    shares = {arm: sum(a.arm == arm for a in found) / len(found) for arm in ("challenger", "control", None)}
    assert abs(shares["challenger"] - 0.2) < 0.012
    assert abs(shares["control"] - 0.2) < 0.012
    for assignment in found[:100]:
        assert assignment.propensity == (0.6 if assignment.arm is None else 0.2)
        assert assignment.adapter == ("style@2" if assignment.arm == "challenger" else "base")


def test_at_one_half_everybody_is_counted() -> None:
    assert all(assign(experiment(0.5), f"user-{n}").arm is not None for n in range(5000))


def test_golden_points() -> None:
    """BLAKE2b-64 of `salt NUL user`, read big-endian: the same on every machine for ever (b2sum -l 64)."""
    assert point("salt", "user-1") == 0xD46DE710705DA6DB
    assert point("salt", "user-1") != point("salt2", "user-1")
    assert point("a", "bc") != point("ab", "c")


def test_another_salt_deals_anew() -> None:
    same = sum(
        assign(experiment(0.5), f"user-{n}").arm == assign(experiment(0.5, salt="other"), f"user-{n}").arm
        for n in range(4000)
    )
    assert abs(same / 4000 - 0.5) < 0.04


def test_the_newest_phase_counts() -> None:
    grown = experiment(0.01, 0.5)
    assert assign(grown, "user-1").phase == 1
    assert assign(msgspec.structs.replace(grown, phases=grown.phases[:1]), "user-1").phase == 0


def test_three_candidates_have_arms_that_a_growing_ramp_never_moves() -> None:
    first = msgspec.structs.replace(experiment(0.05), others=("style@3", "style@4"))
    grown = msgspec.structs.replace(first, phases=(*first.phases, Phase(1, 1 / 6, 1.0)))
    users = [f"user-{n}" for n in range(20_000)]
    before, after = [assign(first, user) for user in users], [assign(grown, user) for user in users]
    for arm, adapter in (
        ("challenger", "style@2"), ("challenger-2", "style@3"), ("challenger-3", "style@4"), ("control", "base")
    ):  # fmt: skip
        assert abs(sum(a.arm == arm for a in before) / len(users) - 0.05) < 0.007
        assert abs(sum(a.arm == arm for a in after) / len(users) - 1 / 6) < 0.012
        assert {a.adapter for a in after if a.arm == arm} == {adapter}
    assert all(b.arm is None or b.arm == a.arm for b, a in zip(before, after, strict=True))


def test_in_a_holdback_the_uncounted_get_the_new_champion() -> None:
    held = msgspec.structs.replace(experiment(0.05), kind="holdback")
    uncounted = {a.adapter for a in (assign(held, f"user-{n}") for n in range(100)) if a.arm is None}
    assert uncounted == {"style@2"}
