"""The e-process that bets on scores: enumeration, predictability, the state, and what it is immune to."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.statistics import (
    BettingDesign,
    BettingState,
    InvalidStatisticsInput,
    betting_e_process,
    gains,
    scores,
    two_arms,
    wealth,
)

DESIGN = BettingDesign(0.3)


def history(n: int, rate_a: float, rate_b: float, seed: int, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    in_a = draw.random(n) < share
    return in_a, (draw.random(n) < np.where(in_a, rate_a, rate_b)).astype(float)


def test_two_people_by_hand() -> None:
    """Nobody bets on the first person. R = (1 + .5) / 2 = .75, residual variance (.5^2 + .75 .25) / 2, score of the
    second, 0 in b: -.75 / -.5 = 1.5."""
    design = BettingDesign(0.2, relative=True, multiples=(1.0,), weights=(0.6,))
    found = betting_e_process(np.array([True, False]), np.array([1.0, 0.0]), 0.5, design)
    spread = 4 * (0.25 + 0.1875) / 2
    designed = 0.4 / 2.2 * 0.75
    prior = spread / designed**2
    plug_in = ((1 - 0.5) * 2 + prior * designed) / (1 + prior)
    limit = 0.9 / 1.5
    stakes = [min(effect / spread, limit) for effect in (designed, plug_in)]
    expected = 0.6 * (1 + stakes[0] * 1.5) + 0.4 * (1 + stakes[1] * 1.5)
    assert found.log_e.tolist() == pytest.approx([0.0, 0.0, np.log(expected)])


@given(
    st.floats(0.02, 0.98),
    st.floats(0, 1),
    st.floats(0.05, 0.95),
    st.sampled_from([0.0, -0.1, 0.05]),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_the_next_factor_has_a_mean_of_at_most_one(
    rate_b: float, below: float, share: float, margin: float, past: list[tuple[bool, bool]]
) -> None:
    """Any past, any truth of the next person inside the null, both arms and outcomes enumerated: exact at any ramp."""
    rate_a = below * min(1.0, max(0.0, rate_b + margin))
    if rate_b + margin < 0:
        return
    in_a, values = (np.array([*each]) for each in zip(*past, strict=True))
    mean = 0.0
    for arm, outcome in product([True, False], [1.0, 0.0]):
        chance = (share if arm else 1 - share) * (
            (rate_a if arm else rate_b) if outcome else 1 - (rate_a if arm else rate_b)
        )
        path = betting_e_process(
            np.append(in_a, arm), np.append(values.astype(float), outcome), share, DESIGN, margin
        ).log_e
        mean += chance * np.exp(path[-1] - path[-2])
    assert mean <= 1 + 1e-9


@given(st.integers(0, 2**31), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_the_past_stands_whatever_comes_after(seed: int, cut: int) -> None:
    in_a, values = history(60, 0.4, 0.2, seed)
    x = np.random.default_rng(seed).normal(size=60)
    whole = betting_e_process(in_a, values, 0.5, DESIGN, covariates=x)
    changed, other = values.copy(), x.copy()
    changed[cut:], other[cut:] = 1 - changed[cut:], -5.0
    part = betting_e_process(in_a, changed, 0.5, DESIGN, covariates=other)
    assert np.allclose(whole.log_e[: cut + 1], part.log_e[: cut + 1])


@pytest.mark.parametrize("margin", [0.0, -0.1, 0.02])
@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize(
    "design", [DESIGN, BettingDesign(0.05, False, (1.0, 2.0), (0.5, 0.2)), BettingDesign(0.05, False, base=0.3)]
)
def test_the_state_comes_to_the_same(margin: float, ratio: bool, adjusted: bool, design: BettingDesign) -> None:
    in_a, values = history(200, 0.5, 0.3, 4, share=0.3)
    draw = np.random.default_rng(5)
    line = draw.random(200) if ratio else np.ones(200)
    x = np.where(draw.random(200) < 0.1, np.nan, draw.normal(size=200) + values) if adjusted else None
    path = betting_e_process(
        in_a, values * line, 0.3, design, margin, denominators=line if ratio else None, covariates=x
    )
    state, found = BettingState(design, margin), [0.0]
    for k in range(200):
        covariate = None if x is None else float(x[k])
        found.append(state.update(bool(in_a[k]), values[k] * line[k], 0, 0.3, covariate, line[k]))
        state = BettingState.unpack(state.pack(), design, margin)
    assert np.allclose(found, path.log_e, atol=1e-9)
    assert state.highest == pytest.approx(path.highest)
    assert state.people == 200
    assert len(state.pack()) <= 160
    runs = wealth(gains(scores(values * line, line if ratio else None, x), two_arms(in_a, 0.3), design, margin))
    assert np.allclose(np.log(runs), path.log_e[1:], atol=1e-9)


def test_a_ramp_with_a_moving_base_rate_is_no_evidence() -> None:
    """The arms pooled: .0566 against .0952 at 5 -> 50 % while the rate goes .05 -> .15, and no difference at all."""
    draw, n = np.random.default_rng(0), 4000
    share = np.where(np.arange(n) < n // 2, 0.05, 0.5)
    rate = np.linspace(0.05, 0.15, n)
    crossed = 0
    for _ in range(100):
        in_a = draw.random(n) < share
        values = (draw.random(n) < rate).astype(float)
        assert values[in_a].mean() > values[~in_a].mean() - 0.01
        crossed += betting_e_process(in_a, values, share, DESIGN).highest >= np.log(20)
    assert crossed <= 12


def test_a_covariate_saves_people() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=1500)
    in_a = draw.random(1500) < 0.5
    values = np.clip(0.5 + 0.1 * (0.8 * x + 0.6 * draw.normal(size=1500)) + 0.01 * in_a, 0, 1)
    plain = betting_e_process(in_a, values, 0.5, BettingDesign(0.02)).last
    assert betting_e_process(in_a, values, 0.5, BettingDesign(0.02), covariates=x).last > plain + 1


def test_orientation_and_non_inferiority() -> None:
    in_a, values = history(1500, 0.3, 0.15, 2)
    assert betting_e_process(in_a, values, 0.5, DESIGN).last > np.log(20)
    assert betting_e_process(~in_a, values, 0.5, DESIGN).highest < np.log(20)
    assert betting_e_process(*history(800, 0.3, 0.3, 3), 0.5, DESIGN, margin=-0.1).last > np.log(20)
    assert betting_e_process(*history(800, 0.1, 0.3, 3), 0.5, DESIGN, margin=-0.1).highest < np.log(20)


def test_nobody_is_no_evidence() -> None:
    assert betting_e_process(np.zeros(0, dtype=bool), np.zeros(0), 0.5, DESIGN).log_e.tolist() == [0.0]


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1])
def test_what_cannot_be_scored_is_refused(bad: float) -> None:
    with pytest.raises(InvalidStatisticsInput):
        betting_e_process(np.array([True]), np.array([bad]), 0.5, DESIGN)
    with pytest.raises(InvalidStatisticsInput):
        BettingState(DESIGN).update(True, bad)
    with pytest.raises(InvalidStatisticsInput):
        betting_e_process(np.array([True]), np.array([1.0]), bad, DESIGN)
    with pytest.raises(InvalidStatisticsInput):
        BettingState(DESIGN).update(True, 1.0, propensity=bad)


@pytest.mark.parametrize(
    "bad",
    [{"effect": 0.0}, {"weights": (1.0,), "multiples": (1.0,)}, {"multiples": (1.0,)}, {"base": 0.5}],
)
def test_designs_that_cannot_work(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidStatisticsInput):
        BettingDesign(**bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidStatisticsInput, match="another design"):
        BettingState.unpack(BettingState(DESIGN).pack(), DESIGN, margin=-0.1)
