"""Who counts in a comparison with which probability: what the router drew, not one half whatever it did."""

import pytest

from ab_testing.exposures import FIRST_GROUP, Exposure
from ab_testing.growthbook import outcomes
from ab_testing.shares import VERSIONS, arm_probability, pair_share
from ab_testing.standing import PEOPLE, Standing
from infra.contracts import Experiment, Phase
from infra.settings.ab_routing import HashMode
from infra.settings.ab_testing import AbTestingSettings


def experiment(candidates: int, *shares: float, kind: str = "challenge") -> Experiment:
    return Experiment(
        project="p", experiment_id="exp-1", challenger="a@1", control="base", salt="s", status="running",
        phases=tuple(Phase(index, share, 0.0) for index, share in enumerate(shares)), started_at=0.0,
        others=tuple(f"a@{n}" for n in range(2, candidates + 1)), kind=kind,  # type: ignore[arg-type]
    )  # fmt: skip


def test_our_own_arms_are_equal_in_every_phase() -> None:
    known = experiment(3, 0.01, 0.1)
    assert arm_probability(known, "challenger-2", 1, "own") == 0.1
    assert [pair_share(known, arm, "control", phase, "own") for arm in known.remaining for phase in (0, 1)] == [0.5] * 6


def test_a_grid_by_hand() -> None:
    """Five ranges of a hundredth that begin at 0, .2, .4, .6, .8: as floating-point numbers add up some hold ten places
    of a grid of thousandths and some eleven."""
    known = experiment(4, 0.01)
    assert [arm_probability(known, arm, 0, "growthbook_v1") for arm in ("control", *known.remaining)] == [
        0.011, 0.011, 0.011, 0.01, 0.01
    ]  # fmt: skip
    assert pair_share(known, "challenger-4", "control", 0, "growthbook_v1") == pytest.approx(10 / 21)
    assert pair_share(known, "challenger", "control", 0, "growthbook_v1") == 0.5
    assert pair_share(known, "challenger", "challenger-4", 0, "growthbook_v1") == pytest.approx(11 / 21)
    paper = experiment(4, 0.01, kind="sentinel")
    assert pair_share(paper, "challenger-4", "control", 0, "growthbook_v1") == 0.5, "split by our own hash"
    assert pair_share(experiment(1, 0.0001), "challenger", "control", 0, "growthbook_v1") == 0.5, "of nobody"


@pytest.mark.parametrize("mode", list(VERSIONS))
@pytest.mark.parametrize("candidates", [1, 4, 6, 8])
def test_probabilities_are_those_of_the_router(mode: HashMode, candidates: int) -> None:
    known = experiment(candidates, 0.01, 0.5 / candidates)
    for _range, assignment in outcomes(known, VERSIONS[mode])[0]:
        assert assignment.arm is not None
        assert arm_probability(known, assignment.arm, 1, mode) == assignment.propensity


def test_a_grid_is_no_sample_ratio_mismatch() -> None:
    """6,300 people exactly as the grid has them, 11 of the control for 10 of the fourth candidate: a test that expects
    halves finds a mismatch and freezes promotions for good."""
    known, highest = experiment(4, 0.01), {}
    for mode in ("own", "growthbook_v1"):
        standing = Standing(known, AbTestingSettings(hash_mode=mode))  # type: ignore[arg-type]
        for number in range(6300):
            arm = "challenger-4" if number * 10 % 21 < 10 else "control"
            standing.count_exposed([Exposure(str(number), arm, 0.01, 0, 1, float(number), FIRST_GROUP)], {})
        ratio = standing.ratios["challenger-4", PEOPLE]
        assert ratio.counts == {0: [3000.0, 3300.0]}
        highest[mode] = ratio.highest
    assert highest["growthbook_v1"] < 1
    assert highest["own"] > 4.7
