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
