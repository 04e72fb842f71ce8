"""The asymptotic sequence against `confseq` and `gbstats`, its state, and its gates on arms that mislead."""

import math

import numpy as np
import pytest

from infra.statistics import AsymptoticDesign, AsymptoticState, InvalidStatisticsInput, asymptotic_e_process
from infra.statistics.asymptotic import log_designed_mixture, log_half_normal_mixture

DESIGN = AsymptoticDesign(300)


def test_golden_numbers_of_confseq() -> None:
    """normal_log_mixture(30, 100, 100, .05, True) and normal_mixture_bound(..., True) of the library, 0.0.11.

    It finds its bounds by bisection, to 12 digits."""
    precision = AsymptoticDesign(100, 0.05).precision
    assert float(log_half_normal_mixture(30.0, 100.0, precision)) == pytest.approx(3.580569603558775, rel=1e-12)
    assert float(log_half_normal_mixture(27.660708830694603, 100.0, precision)) == pytest.approx(
        math.log(20), rel=4e-12
    )
    precision = AsymptoticDesign(1000, 0.05).precision
    assert float(log_half_normal_mixture(140.5715236210625, 2500.0, precision)) == pytest.approx(
        math.log(20), rel=4e-12
    )


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
    assert len(state.pack()) <= 224
    effect, low, high = state.interval()
    assert low < effect < high
    assert high - low == pytest.approx(2 * (high - effect))


def test_everybody_is_scored_in_hindsight() -> None:
    """Against residuals of all people so far, made anew from the rows: of their regression on the covariate among those
    who have one, weighed by the coin; the larger of two variances, three degrees of freedom used."""
    draw, n = np.random.default_rng(4), 300
    in_a = draw.random(n) < 0.3
    x = np.where(draw.random(n) < 0.2, np.nan, draw.normal(size=n))
    values = 1000 + 2 * np.nan_to_num(x) + draw.normal(size=n) + 0.8 * in_a
    path = asymptotic_e_process(in_a, values, 0.3, DESIGN, covariates=x)
    state = AsymptoticState(DESIGN)
    for k in range(n):
        state.update(bool(in_a[k]), values[k], 0, 0.3, float(x[k]))
        if k + 1 not in (150, 300):
            continue
        y, known = values[: k + 1] - values[: k + 1].mean(), np.isfinite(x[: k + 1])
        covariate = np.where(known, x[: k + 1] - x[: k + 1][known].mean(), 0.0)
        slope = float(np.polyfit(covariate[known], y[known], 1)[0])
        residual = y - slope * covariate
        scores = residual * np.where(in_a[: k + 1], 1 / 0.3, -1 / 0.7)
        pooled = float((residual**2).sum()) * (1 / 0.3 + 1 / 0.7)
        variance = max(float((scores**2).sum()), pooled) / (k + 1 - 3)
        assert state.interval()[0] == pytest.approx(scores.mean(), abs=1e-9)
        assert state.variance == pytest.approx(variance)
        expected = log_designed_mixture(scores.sum() / math.sqrt(variance), k + 1.0, DESIGN)
        assert path.log_e[k + 1] == pytest.approx(float(expected), abs=1e-9)
    assert path.log_e[300] > math.log(20)


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
