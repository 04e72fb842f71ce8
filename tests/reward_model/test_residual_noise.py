"""The flip rate left: each way by hand, intervals, sources, and the joint fit's interval over groups."""

import numpy as np
import pytest
from scipy.stats import beta

from reward_model.judgments import gather
from reward_model.residual_noise import estimate, from_honeypots, from_repeated, from_three_signals
from tests.reward_model.raters import simulate


def test_repeated_judgments_by_hand() -> None:
    # two records that agree, two that disagree, one against two: 1 + 1 + 3 couples, of which 0 + 1 + 2 disagree
    pair, says = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([1, 1, 1, 0, 0, 1, 1.0])
    found = from_repeated(gather(pair, says), np.arange(3))
    assert found is not None
    assert found.flip_rate == 0.5
    agreeing = from_repeated(
        gather(np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([1, 1, 0, 0, 1, 1, 1, 0.0])), np.arange(4)
    )
    assert agreeing is not None
    assert agreeing.flip_rate == pytest.approx((1 - np.sqrt(0.5)) / 2)
    assert agreeing.interval[0] <= agreeing.flip_rate <= agreeing.interval[1]
    assert from_repeated(gather(np.array([0, 1]), np.ones(2)), np.arange(2)) is None


def test_three_witnesses_by_hand() -> None:
    rates = np.array([0.1, 0.2, 0.35])
    c = 1 - 2 * rates
    d = tuple((1 - c[i] * c[j]) / 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    assert from_three_signals(d) == pytest.approx(tuple(rates))
    with pytest.raises(ValueError, match="below 1/2"):
        from_three_signals((0.5, 0.1, 0.1))


def test_honeypots_with_jeffreys_interval() -> None:
    judgments = gather(np.array([0, 1, 2, 3, 4]), np.array([1, 0, 0, 1, 1.0]))
    found = from_honeypots(judgments, np.array([1.0, 1.0, -1.0, 0.0, 0.0]))
    assert found is not None
    assert found.flip_rate == pytest.approx(1 / 3)
    assert found.interval == pytest.approx(tuple(beta.ppf([0.025, 0.975], 1.5, 2.5)))
    assert from_honeypots(judgments, np.zeros(5)) is None


def test_every_way_finds_the_rate_and_the_interval_holds_it() -> None:
    made = simulate(np.full(30, 0.25), 600, 3)
    margins = 3.0 * made.truth + np.random.default_rng(3).normal(size=600)
    known = np.where(np.arange(600) < 200, made.truth, 0.0)
    found = estimate(made.judgments, np.arange(600) // 2, margins=margins, known=known, draws=20)
    assert set(found.by_method) == {"repeated", "margins", "honeypots"}
    for one in (found.overall, *found.by_method.values()):
        assert one.flip_rate == pytest.approx(made.wrong, abs=0.05)
        assert one.interval[0] <= made.wrong <= one.interval[1]
        assert one.interval[1] - one.interval[0] < 0.2


def test_sources_have_rates_of_their_own() -> None:
    made = simulate(np.where(np.arange(30) < 15, 0.05, 0.35), 600, 3, sources=["duel"] * 15 + ["edit"] * 15)
    found = estimate(made.judgments, np.arange(600), draws=10)
    assert found.by_source["duel"].flip_rate == pytest.approx(0.05, abs=0.03)
    assert found.by_source["edit"].flip_rate == pytest.approx(0.35, abs=0.05)


def test_same_seed_same_interval() -> None:
    made = simulate(np.full(10, 0.2), 80, 3)
    first, second = (estimate(made.judgments, np.arange(80), draws=5, seed=4).overall for _ in range(2))
    assert first == second
