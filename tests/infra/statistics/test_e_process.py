"""Blocks, predictability and orientation of the e-process."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.statistics import Design, InvalidStatisticsInput, block_ids, excess_e_process

DESIGN = Design(lifts=(0.1, 0.3, 0.9), plug_in_weight=0.25, block_people=10)


def people(n: int, rate_a: float, rate_b: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    in_a = draw.random(n) < 0.5
    values = (draw.random(n) < np.where(in_a, rate_a, rate_b)).astype(float)
    return in_a, values, np.zeros(n, dtype=np.int64)


def test_blocks_close_full_or_at_a_change_of_phase() -> None:
    phase = np.array([0] * 5 + [1] * 5)
    assert block_ids(phase, 3).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, -1, -1]
    assert block_ids(phase[:0], 3).tolist() == []
    assert block_ids(phase[:6], 3).tolist() == [0, 0, 0, 1, 1, -1]


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(2, 9))
def test_no_block_mixes_phases_and_none_is_larger(phases: list[int], size: int) -> None:
    phase = np.array(phases, dtype=np.int64)
    ids = block_ids(phase, size)
    for block in range(int(ids.max(initial=-1)) + 1):
        inside = np.flatnonzero(ids == block)
        assert 1 <= inside.size <= size
        assert np.unique(phase[inside]).size == 1
        assert inside.tolist() == list(range(inside[0], inside[-1] + 1))


@given(st.integers(0, 2**31), st.integers(0, 120))
@settings(max_examples=25, deadline=None)
def test_the_past_stands_whatever_comes_after(seed: int, cut: int) -> None:
    """Predictable: the path up to a block is the same when later people are changed or missing."""
    in_a, values, phase = people(120, 0.4, 0.2, seed)
    whole = excess_e_process(in_a, values, phase, DESIGN)
    part = excess_e_process(in_a[:cut], values[:cut], phase[:cut], DESIGN)
    assert np.allclose(whole.log_e[: part.log_e.size], part.log_e)
    changed = values.copy()
    changed[part.people[-1] :] = 1 - changed[part.people[-1] :]
    assert np.allclose(excess_e_process(in_a, changed, phase, DESIGN).log_e[: part.log_e.size], part.log_e)


def test_a_first_block_by_hand() -> None:
    """Without a past there is nothing to bet on; the second block of the plug-in alone is computed here anew."""
    in_a, values, phase = people(20, 0.9, 0.1, 3)
    design = Design(lifts=(0.5,), plug_in_weight=0.5, block_people=10)
    found = excess_e_process(in_a, values, phase, design)
    assert found.log_e[1] == pytest.approx(0.0)
    a, y = in_a[:10], values[:10]
    pooled = (y.sum() + 0.5) / 11
    rates = {arm: (y[a == arm].sum() + 4 * pooled) / ((a == arm).sum() + 4) for arm in (True, False)}
    designed = {True: 3 * pooled / 2.5, False: 2 * pooled / 2.5}
    wealth = 0.0
    a, y = in_a[10:], values[10:]
    for bet in (rates, designed):
        null = (a.sum() * bet[True] + (~a).sum() * bet[False]) / 10
        wealth += 0.5 * np.prod(
            [(bet[g] if v else 1 - bet[g]) / (null if v else 1 - null) for g, v in zip(a, y, strict=True)]
        )
    assert found.log_e[2] == pytest.approx(np.log(wealth))


def test_orientation() -> None:
    in_a, values, phase = people(1500, 0.3, 0.15)
    assert excess_e_process(in_a, values, phase, DESIGN).last > np.log(20)
    assert excess_e_process(~in_a, values, phase, DESIGN).highest < np.log(20)


def test_non_inferiority_has_its_own_null() -> None:
    """Equal rates: not worse by a tenth. Truly worse by two tenths: not shown, although the diagonal would be."""
    assert excess_e_process(*people(800, 0.3, 0.3), DESIGN, margin=-0.1).last > np.log(20)
    assert excess_e_process(*people(800, 0.1, 0.3), DESIGN, margin=-0.1).highest < np.log(20)


def test_nobody_is_no_evidence() -> None:
    empty = excess_e_process(*people(0, 0.1, 0.1), DESIGN)
    assert empty.log_e.tolist() == [0.0]
    assert empty.last == 0.0


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1])
def test_values_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(InvalidStatisticsInput, match=r"\[0, 1\]"):
        excess_e_process(np.array([True]), np.array([bad]), np.array([0]), DESIGN)


@pytest.mark.parametrize("bad", [{"lifts": ()}, {"lifts": (0.0,)}, {"plug_in_weight": 1.0}, {"block_people": 1}])
def test_designs_that_cannot_work(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidStatisticsInput):
        Design(**bad)  # type: ignore[arg-type]
