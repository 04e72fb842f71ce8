"""Drift: by hand, quiet when nothing moved (clustered people included), loud when something did."""

import numpy as np
import pytest
from scipy import stats

from reward_model.drift import Window, drift, rate_change, shift
from reward_model.evaluation import InvalidEvaluation

NAN = float("nan")


def test_psi_by_hand() -> None:
    """Two bins cut at the median: halves before, 3/4 to 1/4 after (half a row added to each bin)."""
    before = np.repeat([0.0, 1.0], 500)
    after = np.concatenate([np.zeros(750), np.ones(250)])
    found = shift("s", before, after, np.arange(1000), np.arange(1000), bins=2)
    p, q = np.array([500.5, 500.5]) / 1001, np.array([750.5, 250.5]) / 1001
    assert found.psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()) - 2 / 1000)
    assert found.ks == pytest.approx(0.25)
    assert found.critical == pytest.approx(2 / 1000 * (stats.chi2.ppf(0.99, 1) - 1))
    assert found.drifted


def test_without_change_psi_is_nothing_on_average_and_the_alarm_is_rare() -> None:
    """250 pairs of windows of one world; the level of moderate change set to 0, so that only chance decides."""
    rng, psi, alarms = np.random.default_rng(0), [], 0
    people = np.arange(500)
    for _ in range(250):
        found = shift("s", rng.normal(size=500), rng.normal(size=500), people, people, psi_level=0.0)
        psi.append(found.psi)
        alarms += found.drifted
    assert np.mean(psi) < 0.012  # the part above its expectation only
    assert alarms / 250 < 0.03


def test_people_who_repeat_themselves_are_not_many() -> None:
    """Fifty people with twenty alike rows each: by rows every second window would alarm, by people hardly one."""
    rng, by_people, by_rows = np.random.default_rng(1), 0, 0
    people = np.repeat(np.arange(50), 20)
    for _ in range(150):
        a, b = np.repeat(rng.normal(size=50), 20), np.repeat(rng.normal(size=50), 20)
        by_people += shift("s", a, b, people, people, psi_level=0.0).drifted
        by_rows += shift("s", a, b, np.arange(1000), np.arange(1000), psi_level=0.0).drifted
    assert by_people / 150 < 0.05
    assert by_rows / 150 > 0.5


def test_the_change_of_a_rate_by_hand() -> None:
    """Different people, one row each: the textbook standard error with n - 1 for both together."""
    before, after = np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 0, 1, NAN])
    found = rate_change("love", before, after, list("abcd"), list("efghi"), 0.95)
    assert (found.before, found.after, found.people) == (0.25, 0.75, 8)
    error = np.sqrt(8 / 7 * (0.75 / 16 + 0.75 / 16))
    half = stats.t.ppf(0.975, 7) * error
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_people_in_both_windows_are_compared_with_themselves() -> None:
    """Each person's own taste cancels: the interval is far narrower than between strangers."""
    rng = np.random.default_rng(2)
    taste = rng.normal(size=100)
    before, after = taste + 0.1 * rng.normal(size=100), taste + 0.2 + 0.1 * rng.normal(size=100)
    same = rate_change("love", before, after, np.arange(100), np.arange(100))
    strangers = rate_change("love", before, after, np.arange(100), np.arange(100, 200))
    assert same.drifted
    assert not strangers.drifted
    assert same.high - same.low < 0.2 * (strangers.high - strangers.low)


def test_rates_hold_their_level() -> None:
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(250):
        own = rng.beta(2, 6, 120)
        rows = np.repeat(np.arange(120), 8)
        a, b = ((rng.random(960) < own[rows]).astype(float) for _ in range(2))
        alarms += rate_change("love", a, b, rows, rows, 0.95).drifted
    assert 0.02 < alarms / 250 < 0.085


def window(rng: np.random.Generator, rows: int, moved: float) -> Window:
    return Window(
        people=list(range(rows)),
        scores={"love": rng.normal(size=rows) + moved, "sentiment": rng.normal(size=rows)},
        labels={"love": (rng.random(rows) < 0.2 + 0.15 * moved).astype(float)},
        features=rng.normal(size=(rows, 6)) + np.array([2 * moved, 0, 0, 0, 0, 0]),
    )


def test_a_moved_world_is_described_and_a_still_one_is_not() -> None:
    rng = np.random.default_rng(4)
    still = drift(window(rng, 800, 0.0), window(rng, 800, 0.0))
    assert not still.drifted
    assert still.reasons == ()
    moved = drift(window(rng, 800, 0.0), window(rng, 800, 1.0))
    assert moved.drifted
    text = "; ".join(moved.reasons)
    assert "score love: PSI" in text
    assert "sentiment" not in text
    assert "1 of 6 features, feature 0 most" in text
    assert "love: 0." in text


def test_too_little_decides_nothing() -> None:
    tiny = drift(
        Window(people=[1, 2], scores={"love": np.array([0.0, 1.0])}, labels={"love": np.array([NAN, NAN])}),
        Window(people=[3], scores={"love": np.array([9.0])}, labels={"love": np.array([1.0])}),
    )
    assert not tiny.drifted
    assert tiny.rates[0].people == 0
    assert not rate_change("love", np.zeros(1), np.ones(1), ["a"], ["b"]).drifted
    far = shift("s", np.zeros(40), np.ones(40), np.arange(40), np.arange(40))
    assert far.psi > 1.0
    assert not far.drifted


def test_features_of_another_backbone_are_refused() -> None:
    with pytest.raises(InvalidEvaluation, match="3 wide before and 4 after"):
        drift(Window([1], features=np.zeros((1, 3))), Window([1], features=np.zeros((1, 4))))
    with pytest.raises(InvalidEvaluation, match="confidence"):
        drift(Window([]), Window([]), confidence=1.0)
