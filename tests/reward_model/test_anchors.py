"""Anchors are the same for everybody, and pin the scale without touching the ranking."""

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reward_model.anchors import (
    AnchorRecord,
    Pin,
    UnusableAnchors,
    choose_anchors,
    compare,
    drift,
    pin_scale,
    pinned_drift,
    record_of,
    surviving,
)

Array = NDArray[np.float64]


def content(count: int) -> dict[tuple[str, int], str]:
    return {(f"r{i}", 0): f"text {i}" for i in range(count)}


def versions(count: int = 1000, seed: int = 0, noise: float = 0.3) -> tuple[Array, Array]:
    """Utilities of two versions: one truth, own errors, and the new one's scale and origin its own."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1.5, count)
    return 0.4 * (truth + rng.normal(0, noise, count)) + 3.0, truth + rng.normal(0, noise, count)


def test_the_set_does_not_depend_on_the_order() -> None:
    shuffled = list(content(300).items())
    random.Random(1).shuffle(shuffled)
    one, other = choose_anchors(content(300), count=50), choose_anchors(dict(shuffled), count=50)
    assert one == other
    assert len(one.keys) == 50
    assert choose_anchors(content(301), count=50).digest != one.digest or one.keys


def test_one_more_answer_changes_few_anchors() -> None:
    before, after = choose_anchors(content(300), count=50), choose_anchors(content(310), count=50)
    assert len(set(before.keys) & set(after.keys)) >= 40


def test_equal_texts_count_once() -> None:
    doubled = content(40) | {(f"copy{i}", 1): f"text {i}" for i in range(40)}
    assert len(choose_anchors(doubled, count=500).keys) == 40


def test_anchors_have_the_spread_of_all() -> None:
    scores = np.random.default_rng(0).exponential(size=1000)
    chosen = choose_anchors(content(1000), scores, count=100)
    tenths = np.searchsorted(np.sort(scores), [scores[int(key[0][1:])] for key in chosen.keys]) // 100
    assert np.bincount(tenths).tolist() == [10] * 10


def test_too_few_answers_are_no_anchors() -> None:
    with pytest.raises(UnusableAnchors, match="29 different"):
        choose_anchors(content(29))
    with pytest.raises(UnusableAnchors, match="finite scores"):
        choose_anchors(content(40), np.zeros(39))


def test_pin_by_hand() -> None:
    new, old = np.tile([0.0, 2.0], 20), np.tile([10.0, 18.0], 20)
    pin = pin_scale(new, old)
    assert (pin.scale, pin.offset) == (4.0, 10.0)
    assert pin.apply(np.array([0.0, 2.0])).tolist() == [10.0, 18.0]
    assert pin.preference(np.array([14.0]), np.array([10.0]))[0] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_a_hundred_retrainings_keep_the_scale() -> None:
    """Regression of old on new would shrink the scale at every step; matched moments do not."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 400)
    first = last = truth + rng.normal(0, 0.5, 400)
    for _ in range(100):
        new = rng.uniform(0.1, 5) * (truth + rng.normal(0, 0.5, 400)) + rng.normal(0, 10)
        last = pin_scale(new, last).apply(new)
    assert np.std(last) == pytest.approx(np.std(first))
    assert np.mean(last) == pytest.approx(np.mean(first))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_the_pin_undoes_any_scale_and_keeps_ranks(scale: float, origin: float) -> None:
    new, old = versions(200)
    reference = pin_scale(new, old).apply(new)
    pinned = pin_scale(scale * new + origin, old).apply(scale * new + origin)
    assert pinned == pytest.approx(reference, abs=1e-6)
    assert (np.argsort(pinned) == np.argsort(new)).mean() > 0.99


def test_drift_by_hand() -> None:
    old, new = np.tile([0.1, 0.3], 20), np.tile([0.16, 0.44], 20)
    found = drift(new, old)
    assert found.level == pytest.approx(0.1)
    assert found.spread == pytest.approx(0.04)
    assert found.scale == pytest.approx(np.hypot(0.1, 0.04))
    assert found.single == pytest.approx(np.sqrt((0.06**2 + 0.14**2) / 2))
    assert found.correlation == pytest.approx(1.0)
    assert not found.steady
    assert drift(new, new).steady


def test_pinned_drift_sees_through_the_scale_and_not_past_a_bend() -> None:
    new, old = versions(2000)
    assert drift(new, old, unit=float(np.std(old))).scale > 1.0
    assert pinned_drift(new, old).steady
    assert pinned_drift(0.001 * new - 77, old).scale == pytest.approx(pinned_drift(new, old).scale)
    few_new, few_old = versions(40, noise=1.5)
    assert pinned_drift(few_new, few_old).scale > 0.02


def test_versions_that_disagree_are_not_pinned() -> None:
    new, old = versions(100)
    with pytest.raises(UnusableAnchors, match="rank"):
        pin_scale(-new, old)
    with pytest.raises(UnusableAnchors, match="constant"):
        pin_scale(np.zeros(100), old)
    with pytest.raises(UnusableAnchors, match="at least 30"):
        pin_scale(new[:20], old[:20])
    new[7] = np.nan
    with pytest.raises(UnusableAnchors, match="anchor 7"):
        drift(new, old)


def test_erased_and_changed_answers_are_no_anchors_any_more() -> None:
    new, old = versions(60)
    anchors = choose_anchors(content(60))
    record = record_of(anchors, {"utility": old, "love": np.full(60, 0.2)})
    assert msgspec.json.decode(msgspec.json.encode(record), type=AnchorRecord) == record
    left = content(60)
    del left[anchors.keys[3]]
    left[anchors.keys[5]] = "other words"
    survivors = surviving(record, left)
    assert survivors.tolist() == [i for i in range(60) if i not in (3, 5)]
    pin, moved = compare(record, survivors, {"utility": new[survivors], "love": np.full(58, 0.25), "dwell": new[:58]})
    assert pin.apply(new[survivors]).std() == pytest.approx(old[survivors].std())
    assert set(moved) == {"utility", "love"}
    assert moved["love"].level == pytest.approx(0.05)
    assert moved["love"].correlation is None


def test_without_a_utility_there_is_nothing_to_pin() -> None:
    record = record_of(choose_anchors(content(40)), {"love": np.full(40, 0.2)})
    pin, moved = compare(record, np.arange(40), {"love": np.full(40, 0.2), "utility": np.arange(40.0)})
    assert pin == Pin()
    assert moved["love"].steady


def test_a_record_needs_a_score_for_every_anchor() -> None:
    anchors = choose_anchors(content(40))
    with pytest.raises(UnusableAnchors, match="'love'"):
        record_of(anchors, {"love": np.zeros(39)})
