"""Caps and effective sample sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.weights import cap_by_person, discount_repeats, effective_news, kish

WEIGHTS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40).map(np.array)


def test_repeats_by_hand() -> None:
    """At rho = 1/4 five labels of a text are worth 5 / (1 + 4/4) = 2.5; at 0 five, at 1 one; a text seen once, one."""
    assert discount_repeats(np.array([5]), 0.25).tolist() == [0.5]
    assert (5 * discount_repeats(np.array([5]), 0.0)).tolist() == [5.0]
    assert (5 * discount_repeats(np.array([5]), 1.0)).tolist() == [1.0]
    assert discount_repeats(np.array([1, 1]), 0.7).tolist() == [1.0, 1.0]


@given(st.floats(0.01, 1))
def test_more_labels_of_a_text_say_more_but_never_more_than_one_over_rho(correlation: float) -> None:
    counts = np.arange(1, 2000)
    worth = counts * discount_repeats(counts, correlation)
    assert (np.diff(worth) >= -1e-12).all()
    assert worth[-1] <= 1 / correlation + 1e-9


def test_discounted_means_err_less_than_plain_ones() -> None:
    """Texts of 1 to 300 labels whose chances scatter about .4: the discounted mean is nearer to .4 than that of labels.

    Correlation = variance of the chances / (p (1 - p))."""
    rng, errors = np.random.default_rng(0), []
    correlation = 0.02 / (0.4 * 0.6 + 0.02)
    for _ in range(300):
        counts = np.concatenate([np.full(40, 2), np.full(4, 300)])
        chances = np.clip(rng.normal(0.4, np.sqrt(0.02), 44), 0, 1)
        means = rng.binomial(counts, chances) / counts
        discounted = np.average(means, weights=counts * discount_repeats(counts, correlation))
        errors.append((discounted - 0.4, np.average(means, weights=counts) - 0.4))
    ours, plain = np.square(errors).mean(0)
    assert ours < 0.6 * plain


def test_kish_by_hand() -> None:
    assert kish(np.array([1.0, 1.0, 1.0])) == 3.0
    assert kish(np.array([3.0, 1.0, 0.0])) == pytest.approx(16 / 10)
    assert kish(np.zeros(3)) == 0.0
    assert kish(np.zeros(0)) == 0.0


def test_kish_of_weights_whose_squares_leave_the_floats() -> None:
    assert kish(np.full(5, 1e-200)) == pytest.approx(5.0)
    assert kish(np.full(5, 1e200)) == pytest.approx(5.0)


@given(WEIGHTS, st.floats(1e-3, 1e3))
def test_kish_has_no_unit_and_is_at_most_the_count(weights: np.ndarray, unit: float) -> None:
    found = kish(weights)
    assert 1.0 - 1e-9 <= found <= len(weights) * (1 + 1e-9)
    assert kish(weights * unit) == pytest.approx(found)


def test_news_that_weigh_a_tenth_say_a_tenth() -> None:
    old = np.ones(1000)
    assert effective_news(np.full(100, 0.1), old) == pytest.approx(10.0)
    assert effective_news(np.ones(100), old) == pytest.approx(100.0)
    assert effective_news(np.full(100, 9.0), old) == pytest.approx(100.0), "never more than there are"
    assert effective_news(np.zeros(3), old) == 0.0
    assert effective_news(np.zeros(0), np.zeros(0)) == 0.0


def test_a_cap_scales_only_those_above_it() -> None:
    found = cap_by_person(np.array([2.0, 2.0, 1.0]), ["bot", "bot", "ann"], 2.0)
    assert found.tolist() == [1.0, 1.0, 1.0]
    assert len(cap_by_person(np.zeros(0), [], 1.0)) == 0


@given(WEIGHTS, st.floats(0.1, 100.0), st.integers(1, 5))
def test_nobody_has_more_than_the_cap(weights: np.ndarray, cap: float, people: int) -> None:
    names = [f"u{i % people}" for i in range(len(weights))]
    found = cap_by_person(weights, names, cap)
    assert (found <= weights * (1 + 1e-9)).all()
    for name in set(names):
        mine = np.array([other == name for other in names])
        assert found[mine].sum() == pytest.approx(min(cap, weights[mine].sum()))
