"""When a job is due, by hand-computed instants and by properties."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts.ids import stable_hash
from infra.runtime.fires import (
    Due,
    GivenUp,
    InvalidSchedule,
    Timing,
    Tries,
    Wait,
    next_fire,
    next_step,
    retry_seconds,
)

DAY = 86400.0
NOON = 1_767_268_800.0  # Thursday 2026-01-01 12:00 UTC


def untried(_fire: float) -> Tries:
    return Tries()


def offset_of(timing: Timing) -> float:
    return stable_hash(timing.name, 1_000_003) / 1_000_003 * timing.every


def test_the_fires_of_an_interval_are_its_multiples_moved_by_the_jobs_own_offset() -> None:
    timing = Timing("label", 60.0)
    moved = offset_of(timing)
    assert 0 <= moved < 60
    assert timing.newest(moved + 600.0) == moved + 600.0
    assert timing.newest(moved + 659.9) == moved + 600.0
    assert timing.after(moved + 600.0) == moved + 660.0
    assert offset_of(Timing("registry", 60.0)) != moved


def test_a_cron_expression_fires_at_its_instants_in_utc() -> None:
    nightly = Timing("validity", 60.0, cron="30 3 * * *")
    at = NOON - 12 * 3600 + 3.5 * 3600
    assert nightly.newest(NOON) == at
    assert nightly.after(NOON) == at + DAY
    assert nightly.typical_interval(NOON) == DAY
    assert Timing("w", 60.0, cron="0 0 * * mon").typical_interval(NOON) == 7 * DAY


@pytest.mark.parametrize("cron", ["", "every day", "61 * * * *", "* * * *"])
def test_what_is_no_cron_expression_is_refused_with_what_it_should_be(cron: str) -> None:
    with pytest.raises(InvalidSchedule, match="five fields"):
        Timing("label", 60.0, cron=cron or " ").after(NOON)


def test_a_job_that_never_ran_is_due_at_once_and_one_of_a_cron_expression_at_its_time() -> None:
    timing = Timing("label", 60.0)
    assert next_step(timing, None, untried, 2, NOON) == Due(timing.newest(NOON))  # type: ignore[arg-type]
    nightly = Timing("label", 60.0, cron="30 3 * * *")
    assert next_step(nightly, None, untried, 2, NOON) == Wait(nightly.after(NOON))


def test_a_settled_fire_is_not_run_again_and_the_next_one_at_its_time() -> None:
    timing = Timing("label", 60.0)
    fire = timing.newest(NOON)
    assert fire is not None
    assert next_step(timing, fire, untried, 2, fire + 1.0) == Wait(fire + 60.0)
    assert next_step(timing, fire, untried, 2, fire + 60.0) == Due(fire + 60.0)


def test_of_missed_fires_the_newest_is_run_or_each() -> None:
    timing, all_of_them = Timing("label", 60.0), Timing("label", 60.0, catch_up="all")
    settled = timing.newest(NOON)
    assert settled is not None
    later = settled + 10 * 60.0 + 5.0
    assert next_fire(timing, settled, later) == settled + 600.0
    assert next_fire(all_of_them, settled, later) == settled + 60.0


def test_a_fire_that_failed_is_tried_again_later_and_given_up_in_the_end() -> None:
    timing = Timing("label", 3600.0)
    fire = timing.newest(NOON)
    assert fire is not None
    failed = Tries(1, fire + 10.0, "failed")
    assert next_step(timing, fire - 3600.0, lambda _: failed, 2, fire + 20.0) == Wait(fire + 40.0)
    assert next_step(timing, fire - 3600.0, lambda _: failed, 2, fire + 40.0) == Due(fire)
    twice = Tries(2, fire + 50.0, "failed")
    assert next_step(timing, fire - 3600.0, lambda _: twice, 2, fire + 60.0) == Wait(fire + 110.0)
    assert next_step(timing, fire - 3600.0, lambda _: Tries(3, fire + 120.0, "failed"), 2, fire + 121.0) == GivenUp(
        fire
    )


def test_a_killed_run_is_repeated_at_once_and_a_deferred_one_soon() -> None:
    timing = Timing("label", 3600.0)
    fire = timing.newest(NOON)
    assert fire is not None
    assert next_step(timing, None, lambda _: Tries(1, fire + 10.0, "abandoned"), 2, fire + 10.0) == Due(fire)
    assert next_step(timing, None, lambda _: Tries(0, fire + 10.0, "deferred"), 2, fire + 11.0) == Wait(fire + 40.0)


def test_a_run_in_progress_is_waited_for_until_its_lease_ends_and_not_given_up() -> None:
    timing = Timing("label", 3600.0)
    fire = timing.newest(NOON)
    assert fire is not None
    tries = Tries(5, fire + 1.0, "abandoned", held_until=fire + 20.0)
    assert next_step(timing, None, lambda _: tries, 2, fire + 2.0) == Wait(fire + 20.0)
    assert next_step(timing, None, lambda _: tries, 2, fire + 20.0) == Due(fire)


def test_jitter_delays_by_a_share_that_all_schedulers_agree_on() -> None:
    timing = Timing("label", 3600.0, jitter_seconds=60.0)
    fires = [timing.after(NOON + hours * 3600.0) for hours in range(50)]
    delays = [timing.begins(fire) - fire for fire in fires]
    assert all(0 <= delay < 60.0 for delay in delays)
    assert max(delays) - min(delays) > 30.0
    assert timing.begins(fires[0]) == Timing("label", 3600.0, jitter_seconds=60.0).begins(fires[0])
    assert next_step(timing, fires[0] - 3600.0, untried, 2, fires[0]) == Wait(timing.begins(fires[0]))


def test_retries_wait_twice_as_long_each_time_and_never_beyond_half_an_interval() -> None:
    assert [retry_seconds(failed, DAY) for failed in (1, 2, 3)] == [30.0, 60.0, 120.0]
    assert retry_seconds(20, DAY) == 3600.0
    assert retry_seconds(1, 10.0) == 5.0


@given(
    every=st.floats(0.05, 1e6),
    name=st.sampled_from(["label", "decide", "trust"]),
    now=st.floats(1.6e9, 2.0e9),
)
def test_fires_follow_one_another_whoever_asks_when(every: float, name: str, now: float) -> None:
    timing = Timing(name, every)
    newest = timing.newest(now)
    assert newest is not None
    following = timing.after(newest)
    assert newest <= now < following or math.isclose(now, following, rel_tol=1e-12)
    assert following - newest == pytest.approx(every, rel=1e-4, abs=1e-6)
    assert timing.newest(following) == following


@given(every=st.floats(0.1, 1e5), start=st.floats(1.6e9, 1.9e9), waits=st.lists(st.floats(0.0, 3.0), max_size=30))
def test_with_all_caught_up_every_fire_is_run_once_in_order(every: float, start: float, waits: list[float]) -> None:
    timing = Timing("drill", every, catch_up="all")
    now, settled, ran = start, None, list[float]()
    for wait in waits:
        now += wait * every
        while isinstance(step := next_step(timing, settled, untried, 2, now), Due):
            ran.append(step.fire)
            settled = step.fire
    gaps = [later - earlier for earlier, later in pairwise(ran)]
    assert all(gap == pytest.approx(every, rel=1e-4, abs=1e-6) for gap in gaps)
    if waits:
        assert ran[-1] == timing.newest(now)
