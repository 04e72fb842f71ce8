"""A head beside random intercepts of the groups, against hand-worked numbers, scipy and data of a known truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from reward_model.calibration import choose_calibration
from reward_model.group_intercepts import between_groups, fit_mixed_logistic
from reward_model.heads import fit_logistic
from reward_model.objective_head import FitOptions, fit_objective

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
NOTHING = torch.zeros(4, 1).double()
TWO_EACH = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(("labels", "variance"), [(None, 2 * math.log(3)), (8.0, math.log(3))])
def test_two_groups_by_hand(labels: float | None, variance: float) -> None:
    """Group 0 likes all, group 1 nothing, no features: b = 0 and +-u with 1 / (1 + e^u) = 2 u / (n spread^2). At u =
    log 3 the left side is 1/4, so spread^2 = 8 log(3) / n, n = 4 and 8."""
    targets = torch.tensor([1.0, 1.0, 0.0, 0.0]).double()
    found = fit_mixed_logistic(
        NOTHING, targets, torch.ones(4).double(), TWO_EACH, math.sqrt(variance), 0.1, labels=labels
    )
    np.testing.assert_allclose(found.offsets, [math.log(3), -math.log(3)], atol=1e-5)
    np.testing.assert_allclose(found.parameters, [0.0, 0.0], atol=1e-6)


def test_the_minimum_is_scipys() -> None:
    x, targets, groups, _ = drawn(groups=7, each=9, seed=1)
    weights = np.random.default_rng(2).uniform(0.2, 1.0, len(targets))
    spread, l2, count, width = 0.8, 0.01, len(targets), x.shape[1] + 1

    def objective(p: Array) -> float:
        eta = x.numpy() @ p[: width - 1] + p[width - 1] + p[width:][groups]
        loss = np.average(np.logaddexp(0, eta) - targets * eta, weights=weights)
        return float(loss + l2 / 2 * p[: width - 1] @ p[: width - 1] + p[width:] @ p[width:] / (2 * count * spread**2))

    oracle = minimize(objective, np.zeros(width + 7), method="BFGS", options={"gtol": 1e-9}).x
    found = fit_mixed_logistic(x, torch.from_numpy(targets), torch.from_numpy(weights), groups, spread, l2)
    ours = np.concatenate([found.parameters, found.offsets])
    assert objective(ours) <= objective(oracle) + 1e-9
    np.testing.assert_allclose(ours, oracle, atol=1e-3)


def test_without_spread_it_is_the_plain_head() -> None:
    x, targets, groups, _ = drawn(groups=5, each=10, seed=3)
    y, v = torch.from_numpy(targets), torch.ones(50).double()
    found = fit_mixed_logistic(x, y, v, groups, 0.0, 0.01)
    assert torch.equal(found.parameters, fit_logistic(x, y, v, 0.01))
    assert found.offsets.tolist() == [0.0] * 5
    barely = fit_mixed_logistic(x, y, v, groups, 1e-4, 0.01)
    np.testing.assert_allclose(barely.parameters, found.parameters, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_neither_the_unit_of_weights_nor_names_nor_order_matter(scale: float, seed: int) -> None:
    x, targets, groups, _ = drawn(groups=6, each=8, seed=seed)
    y, v = torch.from_numpy(targets), torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 1.0, 48))
    found = fit_mixed_logistic(x, y, v, groups, 0.7, 0.02)
    order = np.random.default_rng(seed).permutation(48)
    rows = torch.from_numpy(order)
    again = fit_mixed_logistic(x[rows], y[rows], scale * v[rows], 100 - 3 * groups[order], 0.7, 0.02)
    np.testing.assert_allclose(again.parameters, found.parameters, atol=1e-3)
    np.testing.assert_allclose(again.offsets, found.offsets.flip(0), atol=1e-3)


def test_what_two_answers_of_a_group_share_by_hand() -> None:
    """Group 0 holds 1 and 3, group 1 holds -2 and -2, group 2 a single 0; the mean of all is 0. The products of two
    different rows are 1 x 3 and 2 x 2, so S = 7, where the squared means, 4 + 4 + 0, would count the difference of 1
    and 3 too."""
    x = torch.tensor([[1.0], [3.0], [-2.0], [-2.0], [0.0]]).double()
    groups = torch.tensor([0, 0, 1, 1, 2])
    assert float(between_groups(x, torch.ones(5).double(), groups)) == pytest.approx(7.0)
    alone = between_groups(x, torch.ones(5).double(), torch.arange(5))
    assert float(alone) == pytest.approx(0.0, abs=1e-12)
    opposed = between_groups(x - x.mean(), torch.ones(5).double(), torch.tensor([0, 1, 0, 1, 1]))
    assert float(opposed) >= 0.0


def test_shared_products_are_those_of_a_plain_loop() -> None:
    x, _, groups, _ = drawn(groups=6, each=5, seed=11)
    v = np.random.default_rng(12).uniform(0.2, 2.0, 30)
    centred = x.numpy() - np.average(x.numpy(), axis=0, weights=v)
    expected = np.zeros((WIDTH, WIDTH))
    for group in range(6):
        rows = np.flatnonzero(groups == group)
        pairs = [(i, j) for i in rows for j in rows if i != j]
        table = sum(v[i] * v[j] * np.outer(centred[i], centred[j]) for i, j in pairs)
        expected += table / sum(v[i] * v[j] for i, j in pairs)
    sizes, directions = np.linalg.eigh(expected)
    expected = (directions * np.maximum(sizes, 0)) @ directions.T
    found = between_groups(x, torch.from_numpy(3.0 * v), torch.from_numpy(groups))
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_the_minimum_with_a_prior_of_what_is_said_of_groups_is_scipys(spread: float) -> None:
    x, targets, groups, _ = drawn(groups=7, each=9, seed=6)
    y, v = torch.from_numpy(targets), torch.ones(63).double()
    shared = between_groups(x, v, torch.from_numpy(groups)).numpy()

    def objective(p: Array) -> float:
        w, u = p[:WIDTH], p[WIDTH + 1 :]
        eta = x.numpy() @ w + p[WIDTH] + u[groups]
        loss = np.mean(np.logaddexp(0, eta) - targets * eta) + 0.01 / 2 * w @ w + w @ shared @ w / (2 * 63 * 0.3**2)
        return float(loss + (u @ u / (2 * 63 * spread**2) if spread else 1e6 * u @ u))

    oracle = minimize(objective, np.zeros(WIDTH + 8), method="BFGS", options={"gtol": 1e-8}).x
    found = fit_mixed_logistic(x, y, v, groups, spread, 0.01, between=0.3)
    ours = np.concatenate([found.parameters, found.offsets])
    assert objective(ours) <= objective(oracle) + 1e-8
    free = fit_mixed_logistic(x, y, v, groups, spread, 0.01).parameters[:-1].numpy()
    assert ours[:WIDTH] @ shared @ ours[:WIDTH] < 0.7 * free @ shared @ free


def test_rows_summed_over_one_text_are_the_rows_themselves() -> None:
    """A text liked 3 times of 4 is one row of target .75 and weight 4, as long as `labels` says what it stands for."""
    x, targets, groups, _ = drawn(groups=6, each=2, seed=5)
    four = np.repeat(np.arange(12), 4)
    likes = (np.tile(np.arange(4), 12) < np.repeat(np.where(targets > 0, 3, 1), 4)).astype(np.float64)
    rows = torch.from_numpy(four)
    long = fit_mixed_logistic(x[rows], torch.from_numpy(likes), torch.ones(48).double(), groups[four], 0.6, 0.01)
    mean = torch.from_numpy(np.bincount(four, likes) / 4)
    short = fit_mixed_logistic(x, mean, torch.full((12,), 4.0).double(), groups, 0.6, 0.01, labels=48.0)
    np.testing.assert_allclose(short.parameters, long.parameters, atol=1e-4)


def test_few_questions_with_offsets_of_their_own_teach_a_truer_head() -> None:
    """30 questions of 30 answers, half of whose features are the question's: the spread is chosen out of fold, the
    weights are nearer to the truth, and so are probabilities on new questions."""
    errors, gaps = np.zeros((2, 2)), np.zeros((2, 2))
    for seed in range(2):
        x, targets, groups, _ = drawn(groups=30, each=30, seed=seed, offsets=1.2)
        new_x, _, _, truth = drawn(groups=200, each=10, seed=100 + seed, offsets=1.2)
        for k, spreads in enumerate([(0.0,), (0.0, 1.2)]):
            options = FitOptions((0.003, 0.01, 0.03), 5, 0, 0, spreads)
            head = fit_objective(x, targets, np.ones(900), groups, options)
            assert (head.spread > 0) == (k == 1)
            calibration = choose_calibration(head.out_of_fold, targets, np.ones(900), groups=groups).calibration
            slopes = head.parameters[0][:-1].numpy()
            errors[seed, k] = np.linalg.norm(calibration.slope * slopes - TRUTH)
            probabilities = calibration.apply((new_x @ head.parameters[0][:-1] + head.parameters[0][-1]).numpy())
            gaps[seed, k] = float(np.mean(np.square(probabilities - truth)))
    assert errors[:, 1].mean() < 0.9 * errors[:, 0].mean()
    assert gaps[:, 1].mean() < 0.95 * gaps[:, 0].mean()


def test_a_head_that_learns_less_of_questions_is_truer_about_new_ones() -> None:
    """Half of the features tell the question alone, and no question pleases for what they tell: thirty questions with
    offsets of their own teach them all the same. Held back there, a head foresees new answers to new ones better."""
    gaps, said = np.zeros((3, 2)), np.zeros((3, 2))
    for seed in range(3):
        x, targets, groups, _ = drawn(groups=30, each=20, seed=seed, topics=True)
        new_x, _, _, truth = drawn(groups=200, each=10, seed=100 + seed, offsets=0.0, topics=True)
        for k, between in enumerate((0.0, 0.6)):
            y, v = torch.from_numpy(targets), torch.ones(600).double()
            head = fit_mixed_logistic(x, y, v, groups, 1.0, 0.003, between=between).parameters.numpy()
            probabilities = 1 / (1 + np.exp(-(new_x.numpy() @ head[:-1] + head[-1])))
            gaps[seed, k] = float(np.mean(np.square(probabilities - truth)))
            said[seed, k] = np.linalg.norm(head[WIDTH // 2 : -1])
    assert (said[:, 1] < 0.75 * said[:, 0]).all()
    assert gaps[:, 1].mean() < 0.95 * gaps[:, 0].mean()


WIDTH = 24
TRUTH = np.concatenate([[6.0], np.zeros(WIDTH - 1)])


def drawn(
    *, groups: int, each: int, seed: int, offsets: float = 1.0, topics: bool = False
) -> tuple[Tensor, Array, Ints, Array]:
    """(x [N, 24], likes [N], group [N], P(like) [N]): half of the variance of x is its group's; log-odds x TRUTH plus
    an offset of the group. With `topics` it is the last half of the columns that is, without what is the answer's."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    shared, own = rng.normal(size=(groups, WIDTH))[group], rng.normal(size=(len(group), WIDTH))
    x = (shared + own) / math.sqrt(2 * WIDTH)
    if topics:
        x = np.where(np.arange(WIDTH) < WIDTH // 2, own, shared) / math.sqrt(WIDTH)
    chance = 1 / (1 + np.exp(-(x @ TRUTH + rng.normal(0, offsets, groups)[group])))
    return torch.from_numpy(x), (rng.random(len(group)) < chance).astype(np.float64), group, chance
