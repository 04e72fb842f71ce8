"""The paired test clustered by person: by hand, its level and power over simulated worlds, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from infra.statistics.intervals import clustered_mean
from reward_model.comparison import Comparison, Verdict, clustered_comparison, replacement
from reward_model.evaluation import InvalidEvaluation, cluster_index, log_losses, pair_log_losses


def test_the_difference_by_hand() -> None:
    """Two people: (1 * -.2 + 3 * .1) / 4, and never a verdict on so few."""
    found = clustered_comparison(
        np.array([0.5, 0.8]), np.array([0.7, 0.7]), ["a", "b"], weights=np.array([1.0, 3.0]), fewest_people=2
    )
    assert found.difference == pytest.approx(0.025)
    assert (found.challenger, found.champion) == (pytest.approx(0.725), pytest.approx(0.7))
    assert (found.rows, found.people) == (2, 2)
    assert found.effective_people == pytest.approx(16 / 10)
    assert found.verdict is Verdict.TOO_FEW_PEOPLE


def world(rng: np.random.Generator, people: int, effect: float, skewed: bool) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Differences of rows and their people: 1 to 12 rows a person, who agree with one another more than chance."""
    sizes = rng.integers(1, 13, people)
    own = rng.exponential(1.0, people) - 1.0 if skewed else rng.normal(size=people)
    index = np.repeat(np.arange(people), sizes)
    return effect + 0.3 * own[index] + 0.3 * rng.normal(size=len(index)), index


@pytest.mark.parametrize("skewed", [False, True])
def test_without_a_difference_it_errs_as_often_as_it_says(skewed: bool) -> None:
    """250 worlds without a difference: each side's false verdicts stay near 2.5 %; rows alone would err far more."""
    rng, wrong, naive = np.random.default_rng(3), {Verdict.BETTER: 0, Verdict.WORSE: 0}, 0
    for world_number in range(250):
        d, people = world(rng, 60, 0.0, skewed)
        found = clustered_comparison(d, np.zeros(len(d)), people, resamples=300, seed=world_number)
        if found.verdict in wrong:
            wrong[found.verdict] += 1
        naive += abs(stats.ttest_1samp(d, 0.0).statistic) > 1.96
    assert 0.002 < wrong[Verdict.BETTER] / 250 < 0.06
    assert 0.002 < wrong[Verdict.WORSE] / 250 < 0.06
    assert naive / 250 > 0.15


def test_a_real_difference_is_found_and_named() -> None:
    rng, found = np.random.default_rng(4), []
    for seed in range(60):
        d, people = world(rng, 200, -0.1, False)
        found.append(clustered_comparison(d, np.zeros(len(d)), people, resamples=400, seed=seed))
    better = [c for c in found if c.better]
    assert len(better) > 50
    assert "loss is lower" in better[0].reason
    covered = sum(c.low <= -0.1 <= c.high for c in found)
    assert covered >= 52


def test_the_interval_is_near_the_t_interval_of_the_house_when_all_is_regular() -> None:
    """infra.statistics computes the same clustered mean another way (no bootstrap, equal weights)."""
    rng = np.random.default_rng(5)
    d, people = world(rng, 300, 0.05, False)
    found = clustered_comparison(d, np.zeros(len(d)), people, resamples=4000)
    other = clustered_mean(d, people)
    assert found.difference == pytest.approx(other.mean)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.15 * (other.high - other.low))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 50))
def test_what_may_not_matter(seed: int, scale: float) -> None:
    """Scale of the weights, order of rows, names of people; and changing sides changes the sign."""
    rng = np.random.default_rng(seed)
    n = 120
    a, b, v = rng.random(n), rng.random(n), rng.random(n) + 0.1
    people = rng.integers(0, 40, n)
    found = clustered_comparison(a, b, people, weights=v, resamples=100)
    scaled = clustered_comparison(a, b, [f"p{p:03d}" for p in people], weights=scale * v, resamples=100)
    assert scaled.difference == pytest.approx(found.difference, abs=1e-12)
    order = rng.permutation(n)
    moved = clustered_comparison(a[order], b[order], people[order], weights=v[order], resamples=100)
    assert (moved.low, moved.high) == pytest.approx((found.low, found.high), abs=1e-9)
    other = clustered_comparison(b, a, people, weights=v, resamples=100)
    assert (other.difference, other.high) == (pytest.approx(-found.difference), pytest.approx(-found.low, abs=1e-9))


def test_the_same_answers_are_no_evidence() -> None:
    loss = np.random.default_rng(0).random(200)
    found = clustered_comparison(loss, loss.copy(), list(range(200)))
    assert found.verdict is Verdict.UNDECIDED
    assert "alike on every" in found.reason


def test_everybody_better_by_as_much_is_better() -> None:
    loss = np.random.default_rng(0).integers(0, 9, 64) / 8.0
    assert clustered_comparison(loss - 0.125, loss, list(range(64))).better


def test_one_loud_person_is_not_many() -> None:
    """Forty people with a row each, and one with two thousand: about one person's worth."""
    people = [*range(40), *([40] * 2000)]
    found = clustered_comparison(np.zeros(2040), np.ones(2040), people)
    assert found.people == 41
    assert found.effective_people < 1.1
    assert found.verdict is Verdict.TOO_FEW_PEOPLE
    assert "30 needed" in found.reason


def test_nobody_known_is_somebody_each() -> None:
    index, count = cluster_index(["a", None, "a", None])
    assert index.tolist() == [0, 1, 0, 2]
    assert count == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"challenger_loss": np.array([0.1, np.nan])}, "challenger_loss: row 1 is nan"),
        ({"champion_loss": np.array([np.inf, 0.1])}, "champion_loss: row 0 is inf"),
        ({"weights": np.array([0.1, -1.0])}, "weights: row 1 is negative"),
        ({"people": ["a"]}, "differ in length"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"challenger_loss": np.zeros(2), "champion_loss": np.zeros(2), "people": ["a", "b"]}
    with pytest.raises(InvalidEvaluation, match=message):
        clustered_comparison(**(given | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_held_out_decides_nothing(rows: int) -> None:
    found = clustered_comparison(np.zeros(rows), np.ones(rows), ["a"] * rows, weights=np.zeros(rows))
    assert found.verdict is Verdict.TOO_FEW_PEOPLE


def verdict(which: Verdict) -> Comparison:
    return Comparison(0.0, 0.0, 0.0, 0.0, 0.0, 1, 1, 1.0, which, f"because {which}")


@pytest.mark.parametrize(
    ("verdicts", "replaced", "why"),
    [
        ((Verdict.BETTER, Verdict.UNDECIDED), True, "love: because better"),
        ((Verdict.BETTER, Verdict.WORSE), False, "utility: because worse"),
        ((Verdict.UNDECIDED, Verdict.UNDECIDED), False, "love: because undecided; utility: because undecided"),
        ((Verdict.TOO_FEW_PEOPLE, Verdict.UNDECIDED), False, "too_few"),
        ((), False, "nothing was held out"),
    ],
)
def test_a_champion_falls_to_one_that_is_better_and_nowhere_worse(verdicts, replaced, why) -> None:  # type: ignore[no-untyped-def]
    found = replacement(dict(zip(("love", "utility"), map(verdict, verdicts), strict=False)))
    assert found[0] is replaced
    assert why in found[1]
    assert ("kept" in found[1]) is not replaced


def test_losses_of_rows_by_hand() -> None:
    assert log_losses(np.array([1.0, 0.0, 0.5]), np.array([0.75, 0.5, 0.25])) == pytest.approx(
        [np.log(4 / 3), np.log(2), 0.5 * (np.log(4) + np.log(4 / 3))]
    )
    z = np.log(np.array([3.0, 1 / 3]))
    assert pair_log_losses(z) == pytest.approx([np.log(4 / 3), np.log(4)])
    assert pair_log_losses(z, 0.1) == pytest.approx([-np.log(0.7), -np.log(0.3)])
    assert pair_log_losses(z, np.array([0.0, 0.1])) == pytest.approx([np.log(4 / 3), -np.log(0.3)])
