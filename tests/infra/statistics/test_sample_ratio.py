"""The sequential sample-ratio test against the numbers of `ssrm-test` 0.1.5 and by simulation."""

import numpy as np
import pytest

from infra.statistics import InvalidStatisticsInput, SampleRatioState, log_dirichlet_factor, sample_ratio_e_process

COUNTS = np.cumsum([[10, 12], [15, 10], [20, 31], [40, 62], [50, 80], [60, 93]], axis=0).astype(float)


def running_p(concentration: float) -> np.ndarray:
    e = np.exp(log_dirichlet_factor(COUNTS, np.array([0.5, 0.5]), concentration))
    return np.minimum.accumulate(np.minimum(1.0, 1 / e))


def test_golden_numbers() -> None:
    """ssrm_test.sequential_p_values of the same counts, at its default and at concentration 1."""
    assert running_p(10_000) == pytest.approx([1, 1, 1, 0.9663586577, 0.8538214229, 0.6777452808])
    assert running_p(1) == pytest.approx([1, 1, 1, 1, 0.0945250783, 0.0033686401], rel=1e-6)
    assert running_p(100)[-1] == pytest.approx(0.00139, abs=5e-6)


def test_phases_have_their_own_factors() -> None:
    draw = np.random.default_rng(0)
    challenger, phase = draw.random(300) < 0.5, np.repeat([0, 1], [100, 200])
    path = sample_ratio_e_process(challenger, phase, np.array([0.5, 0.5]))
    parts = [
        log_dirichlet_factor(np.array([c.sum(), (~c).sum()], dtype=float), np.array([0.5, 0.5]), 100.0)
        for c in (challenger[:100], challenger[100:])
    ]
    assert path[-1] == pytest.approx(sum(parts))
    assert path[0] == 0.0
    assert path.shape == (301,)


def test_watched_after_every_person() -> None:
    """A fair split almost never alarms at .01; 45 against 55 alarms soon."""
    draw, phase = np.random.default_rng(1), np.zeros(4000, dtype=np.int64)

    def alarmed(share: float) -> bool:
        path = sample_ratio_e_process(draw.random(4000) < share, phase, np.array([0.5]))
        return bool(path.max() >= np.log(100))

    assert sum(alarmed(0.5) for _ in range(300)) <= 10
    assert sum(alarmed(0.45) for _ in range(50)) >= 48


def test_refuses_what_cannot_be() -> None:
    one = np.array([True]), np.array([0])
    with pytest.raises(InvalidStatisticsInput, match="share"):
        sample_ratio_e_process(*one, np.array([1.0]))
    with pytest.raises(InvalidStatisticsInput, match="concentration"):
        sample_ratio_e_process(*one, np.array([0.5]), 0.0)


def test_the_state_comes_to_the_same() -> None:
    """Phases that overlap for a while, as they do when people are ordered by their first answer."""
    draw = np.random.default_rng(4)
    phase = np.where(np.arange(300) + draw.integers(0, 40, 300) < 150, 0, 1)
    arm, shares = draw.random(300) < 0.5, np.array([0.5, 0.4])
    path = sample_ratio_e_process(arm, phase, shares)
    state, found = SampleRatioState(), [0.0]
    for k in range(300):
        found.append(state.update(bool(arm[k]), int(phase[k]), float(shares[phase[k]])))
        state = SampleRatioState.unpack(state.pack())
    assert np.allclose(found, path, atol=1e-9)
    assert state.highest == pytest.approx(path.max())
    assert len(state.pack()) == 16 + 2 * 32
    with pytest.raises(InvalidStatisticsInput, match="share"):
        state.update(True, 0, 1.0)
