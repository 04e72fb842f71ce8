"""Slices: by hand, small ones merged or marked, intervals that cover, any metric."""

import numpy as np
import pytest

from reward_model.evaluation import InvalidEvaluation, auroc, clustered_interval
from reward_model.slices import OTHER, bins, mean_of, quantile_bins, sliced, whole


def test_labels_of_bins() -> None:
    values = np.array([0.0, 1.0, 6.9, 7.0, np.nan])
    assert bins(values, [1.0, 7.0], "days") == ["< 1 days", "1-7 days", "1-7 days", ">= 7 days", "unknown"]
    for wrong in ([], [2.0, 2.0], [3.0, 1.0]):
        with pytest.raises(InvalidEvaluation, match="rising"):
            bins(values, wrong)


def test_quantile_bins_are_about_equal_and_survive_constants() -> None:
    labels = quantile_bins(np.arange(1000.0), 4, "tokens")
    assert set(labels) == {"< 250 tokens", "250-500 tokens", "500-749 tokens", ">= 749 tokens"}
    assert max(labels.count(name) for name in set(labels)) <= 252
    assert quantile_bins(np.ones(5), 4) == ["all"] * 5
    assert quantile_bins(np.array([np.nan]), 4) == ["all"]


def test_slices_by_hand() -> None:
    """60 of `a` with mean 1/2, 40 of `b` all right; two sources too small to stand alone."""
    values = np.array([1.0, 0.0] * 30 + [1.0] * 40)
    segment = ["a"] * 60 + ["b"] * 40
    source = ["duel"] * 90 + ["edit"] * 6 + ["honeypot"] * 4
    found = sliced(mean_of(values, np.ones(100)), {"segment": segment, "source": source}, list(range(100)))
    shown = [(s.column, s.label, s.interval.estimate, s.interval.count, s.small) for s in found if s.interval]
    assert shown == [
        ("segment", "a", 0.5, 60, False),
        ("segment", "b", 1.0, 40, False),
        ("source", "duel", pytest.approx(2 / 3), 90, False),
        ("source", OTHER, 1.0, 10, True),
    ]
    assert found[-1].merged == ("edit", "honeypot")
    overall = float(values.mean())
    assert [s.differs(overall) for s in found] == [True, True, False, False]


def test_bins_keep_their_own_order() -> None:
    """By size, the middle bin would come first."""
    values = np.concatenate([np.full(40, 0.5), np.full(60, 3.0), np.full(30, 9.0)])
    columns = {"age": bins(values, [1.0, 7.0]), "name": ["b"] * 40 + ["a"] * 90}
    found = sliced(mean_of(values, np.ones(130)), columns, list(range(130)), resamples=20)
    assert [s.label for s in found] == ["< 1", "1-7", ">= 7", "a", "b"]


def test_one_small_slice_keeps_its_name() -> None:
    found = sliced(mean_of(np.ones(50), np.ones(50)), {"source": ["duel"] * 45 + ["edit"] * 5}, list(range(50)))
    assert [(s.label, s.small, s.merged) for s in found] == [("duel", False, ()), ("edit", True, ())]


def test_few_people_are_marked_however_many_rows() -> None:
    people = ["loud"] * 100 + list(range(100))
    found = sliced(mean_of(np.ones(200), np.ones(200)), {"s": ["one"] * 100 + ["many"] * 100}, people)
    assert {s.label: s.small for s in found} == {"one": True, "many": False}
    (one,) = (s for s in found if s.label == "one")
    assert one.interval is not None
    assert one.interval.groups == 1


def test_a_mean_has_the_interval_of_the_other_bootstrap() -> None:
    """The general bootstrap against `evaluation.clustered_interval`, which multiplies sums."""
    rng = np.random.default_rng(0)
    people = rng.integers(0, 60, 400)
    values, weights = rng.random(400) + 0.01 * people, rng.random(400) + 0.5
    found = whole(mean_of(values, weights), people, resamples=2000)
    other = clustered_interval(values, people, weights, resamples=2000, seed=1)
    assert found is not None
    assert found.estimate == pytest.approx(other.estimate)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.1 * 2 * other.half_width)


def test_ranking_within_slices() -> None:
    """AUROC as the metric: perfect in one slice, none to rank in another, reversed in the third."""
    targets = np.array([0.0, 1.0] * 20 + [1.0] * 40 + [1.0, 0.0] * 20)
    scores = np.array([0.1, 0.9] * 60)
    weights = np.ones(120)
    labels = ["good"] * 40 + ["one class"] * 40 + ["bad"] * 40

    def metric(rows, v):  # type: ignore[no-untyped-def]
        return auroc(targets[rows], scores[rows], weights[rows] * v)

    found = {s.label: s for s in sliced(metric, {"x": labels}, list(range(120)), resamples=50)}
    assert found["one class"].interval is None
    assert found["one class"].small
    assert not found["one class"].differs(0.5)
    good, bad = found["good"].interval, found["bad"].interval
    assert good is not None
    assert bad is not None
    assert (good.estimate, bad.estimate) == (1.0, 0.0)


def test_a_column_of_another_length_is_named() -> None:
    with pytest.raises(InvalidEvaluation, match="'age' has 2 labels for 3 rows"):
        sliced(mean_of(np.ones(3), np.ones(3)), {"age": ["a", "b"]}, [1, 2, 3])
