"""The two-arm test a person at a time, and many histories at once, against `excess_e_process`."""

import numpy as np
import pytest

from infra.statistics import (
    Design,
    InvalidStatisticsInput,
    TwoArmState,
    block_counts,
    counts_e_process,
    excess_e_process,
)

DESIGN = Design((0.1, 0.3, 0.9), 0.15, 7, (0.7, 0.1, 0.05))
PHASE = np.repeat([0, 1, 2], [33, 50, 71])


@pytest.mark.parametrize("margin", [0.0, -0.1])
@pytest.mark.parametrize("design", [DESIGN, Design((0.05, 0.2), 0.2, 10, relative=False)])
def test_all_three_come_to_the_same(margin: float, design: Design) -> None:
    draw = np.random.default_rng(0)
    in_a, values = draw.random((4, PHASE.size)) < 0.4, draw.random((4, PHASE.size)) < 0.3
    counts, people = block_counts(in_a, values, PHASE, design.block_people)
    together = counts_e_process(counts, design, margin)
    for run in range(4):
        path = excess_e_process(in_a[run], values[run].astype(float), PHASE, design, margin)
        assert np.allclose(path.log_e[1:], together[run])
        assert path.people[1:].tolist() == people.tolist()
        state = TwoArmState(design, margin)
        for k in range(PHASE.size):
            state.update(bool(in_a[run, k]), float(values[run, k]), int(PHASE[k]))
            state = TwoArmState.unpack(state.pack(), design, margin)
        assert state.log_e == pytest.approx(path.last, abs=1e-12)
        assert state.highest == pytest.approx(path.highest, abs=1e-12)
        assert state.people == path.people[-1]


def test_bounded_values_and_a_full_block_to_store() -> None:
    draw = np.random.default_rng(1)
    in_a, values = draw.random(39) < 0.5, draw.random(39)
    design = Design((0.1,), 0.5, 20)
    state = TwoArmState(design)
    for arm, value in zip(in_a, values, strict=True):
        state.update(bool(arm), float(value))
    path = excess_e_process(in_a, values, np.zeros(39, dtype=np.int64), design)
    assert state.log_e == pytest.approx(path.last, abs=1e-12)
    assert len(state.pack()) == 64 + 8 * (2 + 19)


def test_too_few_people_for_a_block() -> None:
    counts, people = block_counts(np.ones((2, 3), dtype=bool), np.ones((2, 3), dtype=bool), PHASE[:3], 7)
    assert people.size == 0
    assert counts_e_process(counts, DESIGN).shape == (2, 0)


def test_what_it_cannot_count_is_refused() -> None:
    with pytest.raises(InvalidStatisticsInput, match=r"\[0, 1\]"):
        TwoArmState(DESIGN).update(True, float("nan"))
    with pytest.raises(InvalidStatisticsInput, match="ratios"):
        TwoArmState(DESIGN).update(True, 0.5, denominator=0.6)
    with pytest.raises(InvalidStatisticsInput, match="another design"):
        TwoArmState.unpack(TwoArmState(DESIGN).pack(), Design((0.1,)))
    with pytest.raises(InvalidStatisticsInput, match="one positive weight"):
        Design((0.1, 0.2), weights=(1.0,))
