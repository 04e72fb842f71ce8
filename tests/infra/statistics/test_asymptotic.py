"""The asymptotic sequence against `confseq` and `gbstats`, its state, and its gates on arms that mislead."""

import math

import numpy as np
import pytest

from infra.statistics import AsymptoticDesign, AsymptoticState, InvalidStatisticsInput, asymptotic_e_process
from infra.statistics.asymptotic import log_half_normal_mixture

DESIGN = AsymptoticDesign(300)


def test_golden_numbers_of_confseq() -> None:
    """normal_log_mixture(30, 100, 100, .05, True) and normal_mixture_bound(..., True) of the library, 0.0.11."""
    precision = AsymptoticDesign(100, 0.05).precision
    assert float(log_half_normal_mixture(30.0, 100.0, precision)) == pytest.approx(3.580569603558775)
    assert float(log_half_normal_mixture(27.660708830694603, 100.0, precision)) == pytest.approx(math.log(20))
    precision = AsymptoticDesign(1000, 0.05).precision
    assert float(log_half_normal_mixture(140.5715236210625, 2500.0, precision)) == pytest.approx(math.log(20))


@pytest.mark.parametrize("adjusted", [False, True])
def test_the_state_comes_to_the_same(adjusted: bool) -> None:
    draw, n = np.random.default_rng(0), 400
    in_a = draw.random(n) < 0.3
    values = 5 + 3 * draw.normal(size=n)
    x = np.where(draw.random(n) < 0.2, np.nan, values + draw.normal(size=n)) if adjusted else None
    path = asymptotic_e_process(in_a, values, 0.3, DESIGN, -0.5, covariates=x)
    state, found = AsymptoticState(DESIGN, -0.5), [0.0]
    for k in range(n):
        found.append(state.update(bool(in_a[k]), values[k], 0, 0.3, None if x is None else float(x[k])))
        state = AsymptoticState.unpack(state.pack(), DESIGN, -0.5)
    assert np.allclose(found, path.log_e, atol=1e-9)
    assert state.highest == pytest.approx(path.highest)
    assert len(state.pack()) <= 160
    effect, low, high = state.interval()
    assert low < effect < high
    assert high - low == pytest.approx(2 * (high - effect))


def test_gates_stay_shut_on_an_arm_without_successes() -> None:
    """A tiny arm without a single success shows no variance of its own: 10 on each side are asked of either arm."""
    in_a = np.arange(3000) % 100 == 0
    values = np.where(in_a, 0.0, (np.arange(3000) % 7 == 0).astype(float))
    assert asymptotic_e_process(~in_a, values, 0.99, DESIGN).highest == 0.0


def test_few_false_alarms_on_a_small_arm() -> None:
    """Rate .05, a tenth in the challenger: the usual sequence alarms in a fifth of such runs."""
    draw, alarms = np.random.default_rng(1), 0
    for _ in range(150):
        in_a = draw.random(3000) < 0.1
        values = (draw.random(3000) < 0.05).astype(float)
        alarms += asymptotic_e_process(in_a, values, 0.1, AsymptoticDesign(1500)).highest >= math.log(20)
    assert alarms <= 15


def test_the_effect_is_found_and_nobody_is_no_evidence() -> None:
    draw = np.random.default_rng(2)
    in_a = draw.random(2000) < 0.5
    values = draw.exponential(size=2000) + 0.3 * in_a
    assert asymptotic_e_process(in_a, values, 0.5, DESIGN).highest > math.log(20)
    assert asymptotic_e_process(in_a[:0], values[:0], 0.5, DESIGN).log_e.tolist() == [0.0]
    assert AsymptoticState(DESIGN).interval()[1:] == (-math.inf, math.inf)


def test_what_it_cannot_count_is_refused() -> None:
    with pytest.raises(InvalidStatisticsInput, match="finite"):
        asymptotic_e_process(np.array([True]), np.array([np.inf]), 0.5, DESIGN)
    with pytest.raises(InvalidStatisticsInput, match="finite"):
        AsymptoticState(DESIGN).update(True, math.nan)
    with pytest.raises(InvalidStatisticsInput, match="alpha"):
        _ = AsymptoticDesign(alpha=0.6).precision
