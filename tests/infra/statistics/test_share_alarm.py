"""The sequential alarm: fair under its null, quick when the share is larger, quick also after a long good time."""

import copy
import random

import pytest

from infra.statistics.share_alarm import ShareAlarm


def fed(alarm: ShareAlarm, share: float, events: int, draw: random.Random) -> ShareAlarm:
    for _ in range(events):
        alarm.observe(draw.random() < share)
    return alarm


def with_one_more(alarm: ShareAlarm, happened: bool) -> float:
    other = copy.deepcopy(alarm)
    other.observe(happened)
    return other.e_value


def test_by_hand() -> None:
    """Limit .25: alternatives .625 (half-way) and .625 (three times it would be .75): factor 2.5 or .5 for both."""
    alarm = ShareAlarm(0.25)
    assert alarm.e_value == 1.0
    alarm.observe(True)  # (0 + 1/2) 2.5 + 1/2
    assert alarm.e_value == pytest.approx(1.75)
    alarm.observe(False)  # (1.25 + 1/6) / 2 + 1/3
    assert alarm.e_value == pytest.approx(1.25 / 2 + 1 / 12 + 1 / 3)


@pytest.mark.parametrize("most", [0.01, 0.05, 0.3])
def test_at_the_limit_the_wealth_is_a_martingale_and_below_it_shrinks(most: float) -> None:
    draw = random.Random(1)
    alarm = ShareAlarm(most)
    for share in (most, 4 * most, most / 2, most):  # far from the ceiling
        for _ in range(40):
            happens, happens_not = with_one_more(alarm, True), with_one_more(alarm, False)
            assert most * happens + (1 - most) * happens_not == pytest.approx(alarm.e_value)
            below = most / 2
            assert below * happens + (1 - below) * happens_not <= alarm.e_value * (1 + 1e-12)
            alarm.observe(draw.random() < share)


def test_false_alarms_over_long_streams_are_rare() -> None:
    draw = random.Random(2)
    alarms = 0
    for _ in range(200):
        alarm = ShareAlarm(0.05)
        for _ in range(1_000):
            alarm.observe(draw.random() < 0.05)
            if alarm.e_value >= 20:
                alarms += 1
                break
    assert alarms <= 18  # of 200 at level 5 %: more would have a chance below 2 %


def delay(share: float, good: int, seed: int) -> int:
    draw = random.Random(seed)
    alarm = fed(ShareAlarm(0.05), 0.02, good, draw)
    for event in range(1, 1_000):
        alarm.observe(draw.random() < share)
        if alarm.e_value >= 3_000:
            return event
    return 1_000


def test_trouble_is_seen_after_a_dozen_events_and_late_trouble_soon_too() -> None:
    assert sorted(delay(1.0, 0, seed) for seed in range(5))[-1] <= 5
    assert sorted(delay(0.5, 0, seed) for seed in range(31))[15] <= 20
    assert sorted(delay(0.5, 5_000, seed) for seed in range(31))[15] <= 45
    assert sorted(delay(0.2, 0, seed) for seed in range(31))[15] <= 120


def test_the_wealth_stays_finite() -> None:
    alarm = ShareAlarm(0.01)
    for _ in range(2_000):
        alarm.observe(True)
    assert 1e14 < alarm.e_value < 1e16
