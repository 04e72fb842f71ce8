"""What a step of the ramp gives to each of several candidates: by hand, as properties, and in a whole experiment."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.allocation import FLOOR, grown, parts, with_shares
from ab_testing.decisions import Verdict
from ab_testing.replay import replay_ledger
from ab_testing.routing import assign
from ab_testing.shares import pair_share
from ab_testing.standing import evidence_of
from infra.contracts import ManualClock, Phase
from infra.db import Database
from infra.event_log.port import EventLog
from infra.settings import Settings
from infra.settings.ab_testing import AbTestingSettings
from tests.ab_testing.assignment_people import experiment
from tests.ab_testing.test_decisions import RULES, evidence, metric, situation
from tests.ab_testing.world import FREEZE_AFTER, World, ledger, quick

THREE = experiment("a", 0.05, others=("o@1", "o@2"), challenger="o@0")
SHARES = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


def seen(rate: float, people: int = 500) -> object:
    return situation(evidence=evidence(love={"rate_challenger": rate, "people_challenger": people}), candidates=3)


def test_the_leader_and_who_disputes_it_get_most() -> None:
    """Rates .5, .48, .2 of 500 people: the third is out of the question and keeps its floor, a tenth of a third."""
    first, second, third = parts({"challenger": seen(0.5), "challenger-2": seen(0.48), "challenger-3": seen(0.2)})  # type: ignore[dict-item]
    assert first + second + third == pytest.approx(1)
    assert first >= second > 0.4
    assert third == pytest.approx(FLOOR / 3, abs=1e-3)
    assert parts({"challenger": seen(0.3), "challenger-2": seen(0.3)}) == pytest.approx([0.5, 0.5])  # type: ignore[dict-item]
    down = RULES.model_copy(update={"metrics": (RULES.metrics[0].model_copy(update={"direction": "lower"}),)})
    less = [
        situation(rules=down, evidence=evidence(metrics=(metric("love", direction="lower", rate_challenger=rate),)))
        for rate in (0.5, 0.5, 0.2)
    ]
    assert parts(dict(zip("abc", less, strict=True))) == pytest.approx([0.25, 0.25, 0.5], abs=0.02)


def test_a_step_by_hand() -> None:
    """Three of .05 to a step of .1: .15 are given away. Two thirds of it take the first to .15, within 1 / 6; four
    fifths would take it to .17: what is above 1 / 6 goes to the others as 3 to 1."""
    names = ("challenger", "challenger-2", "challenger-3")
    assert grown(THREE, 0.1, dict(zip(names, (2 / 3, 1 / 6, 1 / 6), strict=True))) == pytest.approx(
        (0.15, 0.075, 0.075)
    )
    found = grown(THREE, 0.1, dict(zip(names, (0.8, 0.15, 0.05), strict=True)))
    above = 0.05 + 0.12 - 1 / 6
    assert found == pytest.approx((1 / 6, 0.0725 + 0.75 * above, 0.0575 + 0.25 * above))
    assert grown(THREE, 1 / 6, dict(zip(names, (0.8, 0.15, 0.05), strict=True))) == pytest.approx((1 / 6,) * 3)
    left = experiment("a", 0.05, others=("o@1", "o@2"), challenger="o@0", config={"dropped": ["challenger-2"]})
    assert grown(left, 0.1, {"challenger": 0.75, "challenger-3": 0.25}) == pytest.approx((0.125, 0.05, 0.075))


@given(SHARES, SHARES, st.integers(0, 300))
def test_shares_only_grow_and_move_nobody(first: list[float], second: list[float], user: int) -> None:
    names, known = ("challenger", "challenger-2", "challenger-3"), THREE
    before = assign(known, f"user-{user}")
    for step, parted in ((0.08, first), (0.12, second), (1 / 6, first)):
        part_of = {name: part / sum(parted) for name, part in zip(names, parted, strict=True)}
        shares = grown(known, step, part_of)
        assert sum(shares) == pytest.approx(3 * step)
        assert all(new >= old - 1e-12 for new, old in zip(shares, map(known.phase.share_of, range(3)), strict=True))
        assert max(shares) <= 1 / 6 + 1e-12
        known = experiment("a", step, others=("o@1", "o@2"), challenger="o@0", phases=(Phase(1, step, 0.0, shares),))
        after = assign(known, f"user-{user}")
        assert before.arm is None or after.arm == before.arm
        before = after


def test_only_a_ramp_of_several_under_top_two_is_shared_out() -> None:
    rules = RULES.model_copy(update={"allocation": "top_two"})
    several = {arm: replace(seen(0.3), rules=rules) for arm in ("challenger", "challenger-2")}  # type: ignore[type-var]
    ramp, hold = Verdict("ramp", "ramp", "on", share=0.1), Verdict("hold", "undecided", "")
    known = experiment("a", 0.05, others=("o@1",), challenger="o@0")
    assert with_shares(known, several, ramp).shares == pytest.approx((0.1, 0.1))  # type: ignore[arg-type]
    assert with_shares(known, several, hold) == hold  # type: ignore[arg-type]
    assert with_shares(known, {"challenger": several["challenger"]}, ramp) == ramp  # type: ignore[dict-item]
    assert with_shares(known, {arm: seen(0.3) for arm in several}, ramp) == ramp  # type: ignore[misc]
    with pytest.raises(ValueError, match="needs hash_mode 'own'"):
        AbTestingSettings(allocation="top_two", hash_mode="growthbook_v1")


def test_a_whole_experiment_gives_its_leader_more(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    """Of three candidates one is loved more: the next step gives it most, people are weighed by what they were drawn
    with, and every row can be made again."""
    rules = {"max_candidates": 3, "ramp_shares": (0.05, 0.1), "allocation": "top_two", "alpha_rollback": 1e-9,
             "min_people_per_arm": 150}  # fmt: skip
    world = World(quick(settings, **rules), clock, sqlite_database, event_log)
    for version in (1, 2, 3):
        world.prove(world.add_adapter(version=version, cycle=7, gain=1.0 / version))
    world.look()
    rates = {"challenger-2": 0.6, "challenger-3": 0.3}
    world.write(world.visits(2000, challenger=0.3, control=0.3, arms=rates))
    ramp = world.look(2 * FREEZE_AFTER)
    assert ramp.verdict is not None
    assert ramp.verdict.kind == "ramp", ramp.text
    shares = world.experiment().phase.shares
    assert sum(shares) == pytest.approx(0.3)
    assert shares[1] == pytest.approx(0.05 + 0.15 * (0.5 * (1 - FLOOR) + FLOOR / 3), abs=1e-3), "surely the best"
    assert min(shares) < 0.06 < max(shares) == shares[1], "and one who disputes it has the other half"
    assert f"challenger-2 {shares[1]:.3g}" in ledger(world)[-1].reason
    assert pair_share(world.experiment(), "challenger-2", "control", 1, "own") == shares[1] / (shares[1] + 0.1)
    assert pair_share(world.experiment(), "challenger-2", "challenger", 0, "own") == 0.5
    visits = world.visits(3000, challenger=0.3, control=0.3, arms=rates)
    counts = [sum(made.arm == arm for made, _ in visits) for arm in ("challenger-2", "challenger", "control")]
    assert np.allclose(np.array(counts) / 3000, [shares[1], shares[0], 0.1], atol=0.02)
    world.write(visits)
    promoted = world.look(2 * FREEZE_AFTER)
    assert promoted.verdict is not None
    assert (promoted.verdict.kind, promoted.verdict.arm) == ("promote", "challenger-2"), promoted.text
    row = ledger(world)[-1]
    assert row.evidence["propensity"]["challenger-2"] == shares[1]  # type: ignore[index]
    with world.database.reading() as connection:
        assert evidence_of(connection, world.experiment())["challenger-2"].log_e_sample_ratio < 3
        again = replay_ledger(connection, world.project)
    assert again.differing == []
    assert again.again == len(ledger(world)) - 1
