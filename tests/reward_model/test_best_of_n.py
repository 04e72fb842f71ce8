"""Best-of-n: by hand, against every subset, against drawn subsets, and what a hacked scorer looks like."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.best_of_n import curve, expected_best
from reward_model.evaluation import InvalidEvaluation

NAN = float("nan")


def test_by_hand() -> None:
    """Three answers: the best is in 2 of 3 subsets of two, the second is the best of the one left."""
    scores, truth = np.array([3.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.6])
    assert expected_best(scores, truth, 1) == pytest.approx(1.6 / 3)
    assert expected_best(scores, truth, 2) == pytest.approx((0 + 0 + 0.6) / 3)
    assert expected_best(scores, truth, 3) == pytest.approx(0.0)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 3))
def test_it_is_the_mean_over_all_subsets(seed: int, n: int, levels: int) -> None:
    """Enumerated, equal scores sharing the choice."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=6) if levels == 0 else rng.integers(0, levels + 1, 6).astype(float)
    truth = rng.normal(size=6)
    chosen = []
    for subset in combinations(range(6), n):
        best = max(scores[list(subset)])
        chosen.append(np.mean([truth[i] for i in subset if scores[i] == best]))
    assert expected_best(scores, truth, n) == pytest.approx(np.mean(chosen), abs=1e-10)


def test_large_sets_do_not_overflow() -> None:
    scores = np.arange(2000.0)
    assert expected_best(scores, scores, 1000) == pytest.approx(1000 * 2001 / 1001 - 1)  # E max of a sample


def test_a_curve_and_its_ceiling() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(300, 16))
    scores = truth + rng.normal(size=(300, 16))
    found = curve(scores, truth, [1, 2, 4, 8, 16], resamples=200)
    means = [p.mean for p in found.points]
    assert means == sorted(means)
    assert all(c.mean >= p.mean - 1e-12 for c, p in zip(found.ceiling, found.points, strict=True))
    assert found.points[0].mean == pytest.approx(truth.mean())
    assert found.ceiling[-1].mean == pytest.approx(truth.max(1).mean())
    assert found.won == pytest.approx(0.5**0.5, abs=0.08)  # correlation of score and truth
    assert found.best_n == 16
    assert found.points[2].kl == pytest.approx(np.log(4) - 3 / 4)
    assert all(p.low < p.mean < p.high for p in found.points)
    assert (found.prompts, found.left_out) == (300, 0)


def test_an_exploited_scorer_turns_down() -> None:
    """The truth falls where the score is extreme: the best n lies inside the curve."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(400, 32))
    found = curve(scores, scores - 0.6 * scores**2, [1, 2, 4, 32], resamples=100)
    assert found.best_n == 2 or found.best_n == 4
    assert found.points[-1].high < found.points[1].low


def test_groups_widen_the_interval_and_short_prompts_are_left_out() -> None:
    rng = np.random.default_rng(2)
    own = np.repeat(rng.normal(size=20), 10)
    truth = own[:, None] + 0.1 * rng.normal(size=(200, 4))
    scores = rng.normal(size=(200, 4))
    scores[:5, 3], truth[:5, 3] = NAN, NAN
    alone = curve(scores, truth, [1, 4])
    grouped = curve(scores, truth, [1, 4], groups=[f"person {i // 10}" for i in range(200)])
    assert alone.left_out == grouped.left_out == 5
    wide, narrow = (c.points[0].high - c.points[0].low for c in (grouped, alone))
    assert wide > 2 * narrow
    assert curve(scores[:5], truth[:5], [4]).points == ()
    assert curve(scores[:5], truth[:5], [4]).best_n is None
    assert curve(scores[:5], truth[:5], [4]).won is None


@pytest.mark.parametrize(
    ("scores", "truth", "ns", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), [1], "shape"),
        (np.ones(3), np.ones(3), [1], "shape"),
        (np.ones((2, 3)), np.ones((2, 3)), [0], "ns is"),
        (np.ones((2, 3)), np.ones((2, 3)), [], "ns is"),
        (np.array([[1.0, 1.0], [1.0, NAN]]), np.ones((2, 2)), [1], "prompt 1"),
        (np.array([[np.inf, 1.0]]), np.ones((1, 2)), [1], "prompt 0"),
    ],
)
def test_what_is_refused(scores, truth, ns, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidEvaluation, match=message):
        curve(scores, truth, ns)
