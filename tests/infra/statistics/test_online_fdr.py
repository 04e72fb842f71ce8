"""Online false-discovery control: thresholds by hand, closure by enumeration, and error rates over streams."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.statistics import (
    InvalidStatisticsInput,
    decide_stream,
    even_spending,
    next_log_threshold,
    power_spending,
    standard_spending,
)
from infra.statistics.online_fdr import Procedure
from tests.oracles.freeze_online_fdr import ALPHA, E_VALUES

GAMMA = np.array([0.4, 0.3, 0.2, 0.05, 0.05])
SPENDING = (
    0.05351677091260086,
    0.011638205782941741,
    0.009912498794460713,
    0.008243606058967333,
    0.006988869709347985,
    0.006045900341664856,
    0.005319444218588295,
    0.004745225431319367,
    0.004280948614063771,
    0.0038982519052638918,
    0.0035775929673247946,
    0.003305136508441197,
)
LEVELS = (
    0.005351677091260086,
    0.0023276411565883483,
    0.0029737496383382142,
    0.0024730818176902,
    0.0020966609128043956,
    0.0024183601366659425,
    0.0026597221092941473,
    0.0028471352587916203,
    0.0025685691684382626,
    0.0027287763336847244,
    0.0025043150771273566,
    0.002313595555908838,
)
DECIDED = (
    True,
    True,
    False,
    False,
    True,
    True,
    True,
    False,
    True,
    False,
    False,
    True,
)
"""What `tests/oracles/freeze_online_fdr.py` prints: online-fdr 1.0.0."""


def test_thresholds_by_hand() -> None:
    """e-LOND: 1 / (.1 gamma (R + 1)). e-LORD: half of what is left each time, 1 / (.05 .5^t (R + 1))."""
    assert next_log_threshold([], [], 0.1, GAMMA) == pytest.approx(math.log(25))
    assert next_log_threshold([9.0, 0.0], [True, False], 0.1, GAMMA) == pytest.approx(math.log(25))
    half = np.full(5, 0.5)
    assert next_log_threshold([9.0, 0.0], [True, False], 0.1, half, "e_lord") == pytest.approx(math.log(40))
    assert next_log_threshold([0.0] * 4, [False] * 4, 0.1, even_spending(5, 4)) == math.inf


def test_e_lond_of_the_library() -> None:
    gamma, log_e = np.array(SPENDING), [math.log(value) if value else -math.inf for value in E_VALUES]
    for t, level in enumerate(LEVELS):
        threshold = next_log_threshold(log_e[:t], list(DECIDED[:t]), ALPHA, gamma)
        assert threshold == pytest.approx(-math.log(level), rel=1e-14)
    assert decide_stream(log_e, ALPHA, gamma, "e_lond") == list(DECIDED)


def test_spending_sequences_spend_no_more_than_there_is() -> None:
    """The reference's figures for the standard sequence at FDR .10: about 7,500 at the 30th test."""
    assert standard_spending(100_000).sum() < 1
    assert 1 / (0.1 * standard_spending(30)[-1]) == pytest.approx(7724, rel=1e-3)
    assert even_spending(400, 365).sum() == pytest.approx(1)
    assert power_spending(400, 365).sum() == pytest.approx(1)


def _allowed(e: list[float], rejected: list[bool], alpha: float) -> bool:
    """Every set of challengers: sum of gamma_rank E at least |S and R| / (alpha |R|)."""
    total = sum(rejected)
    for size in range(1, len(e) + 1):
        for chosen in combinations(range(len(e)), size):
            weight = sum(GAMMA[rank] * e[i] for rank, i in enumerate(chosen))
            if weight < sum(rejected[i] for i in chosen) / (alpha * total) - 1e-9:
                return False
    return True


@given(st.lists(st.floats(0, 120), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_closed_e_lond_against_all_sets(e: list[float]) -> None:
    """A rejection is made exactly when no set of challengers speaks against it; never fewer than e-LOND's."""
    log_e = [math.log(max(value, 1e-9)) for value in e]
    decided = decide_stream(log_e, 0.1, GAMMA, "closed_e_lond")
    for t in range(len(e)):
        assert decided[t] == _allowed(e[: t + 1], [*decided[:t], True], 0.1)
    plain = decide_stream(log_e, 0.1, GAMMA, "e_lond")
    assert sum(decided) >= sum(plain)


@pytest.mark.parametrize("procedure", ["e_lond", "closed_e_lond", "e_lord"])
def test_false_discoveries_of_hard_nulls(procedure: Procedure) -> None:
    """Null e-values as large as a stopped e-process allows: x with probability 1 / x; one challenger in ten is real."""
    draw, proportions = np.random.default_rng(0), []
    gamma = np.full(30, 0.05) if procedure == "e_lord" else power_spending(30, 30)
    for _ in range(150):
        real = draw.random(30) < 0.1
        # An e-process stopped when it reaches x or is lost: x with probability 1 / x.
        reach = np.exp(draw.uniform(3, 8, 30))
        null = np.where(draw.random(30) < 1 / reach, np.log(reach), -5.0)
        decided = np.array(decide_stream(np.where(real, 9.0, null).tolist(), 0.1, gamma, procedure))
        proportions.append((decided & ~real).sum() / max(decided.sum(), 1))
    assert np.mean(proportions) <= 0.1


def test_what_cannot_be_decided_is_refused() -> None:
    with pytest.raises(InvalidStatisticsInput, match="gammas"):
        next_log_threshold([0.0], [], 0.1, GAMMA)
