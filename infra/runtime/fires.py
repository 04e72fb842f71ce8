"""When a job is due: fires at fixed instants, so that all schedulers of a deployment speak of the same ones. Pure.

An interval's fires are the multiples of the interval, moved by an offset that is the job's own, so that jobs of equal
interval do not all begin at once; a cron expression's are its own (UTC). A fire is settled once a run of it has ended
done or skipped, or has been tried often enough; every fire up to `settled` is. What is not settled is due, whoever was
killed in the middle of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

from apscheduler.triggers.cron import CronTrigger

from infra.contracts.errors import PlauditError
from infra.contracts.ids import stable_hash

CatchUp = Literal["latest", "all"]
"""What becomes of fires that nobody ran, as all schedulers were down. latest: the newest alone, for all; all: each."""

_GRAIN = 1_000_003
MOST_MISSED = 10_000
"""Missed fires of a cron expression that are counted through; before them, it begins at now."""
DEFER_SECONDS = 30.0
"""How soon a run that could not begin (`TryLater`) is tried again."""
FIRST_RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 3600.0


class InvalidSchedule(PlauditError):
    """A schedule that cannot be read."""

    code = "invalid_schedule"


@dataclass(frozen=True)
class Timing:
    """The fires of one job. `every` seconds, or `cron` (five fields, UTC) in its place; `jitter_seconds`: each fire
    begins up to so much after its instant, by a share that depends on job and instant alone."""

    name: str
    every: float
    cron: str = ""
    catch_up: CatchUp = "latest"
    jitter_seconds: float = 0.0

    def newest(self, now: float) -> float | None:
        """The newest fire at or before `now`; None for a cron expression that never fired lately."""
        if not self.cron:
            return self._instant(self._index(now))
        found, start = None, now - max(2.0 * self.typical_interval(now), 120.0)
        while (fire := self.after(start)) <= now:
            found = start = fire
        return found

    def after(self, instant: float) -> float:
        """The first fire later than `instant`."""
        if self.cron:
            fire = _trigger(self.cron).get_next_fire_time(None, datetime.fromtimestamp(instant + 0.5, UTC))
            if fire is None:
                raise InvalidSchedule(f"job {self.name}: {self.cron!r} never fires", field=f"jobs.cron.{self.name}")
            return float(fire.timestamp())
        return self._instant(self._index(instant) + 1)

    def typical_interval(self, now: float) -> float:
        """Seconds between two fires: of a cron expression the longest of the next eight."""
        if not self.cron:
            return self.every
        fires = [self.after(now)]
        for _ in range(8):
            fires.append(self.after(fires[-1]))
        return max(later - earlier for earlier, later in pairwise(fires))

    def begins(self, fire: float) -> float:
        """When the run of a fire may begin: the fire itself, and its jitter."""
        share = stable_hash(f"{self.name} {fire:.3f}", _GRAIN) / _GRAIN
        return fire + share * min(self.jitter_seconds, self.every / 2 if not self.cron else self.jitter_seconds)

    def _index(self, now: float) -> int:
        """Number of the newest fire at or before `now`, by the instants themselves: a division rounds."""
        index = math.floor((now - self._offset) / self.every)
        if self._instant(index + 1) <= now:
            return index + 1
        return index - 1 if self._instant(index) > now else index

    def _instant(self, index: int) -> float:
        return self._offset + index * self.every

    @property
    def _offset(self) -> float:
        return stable_hash(self.name, _GRAIN) / _GRAIN * self.every


@dataclass(frozen=True)
class Tries:
    """Runs of one fire so far: those that failed or died, when the last of all ended, and how; until when one that is
    running holds its lease, if it says nothing more."""

    failed: int = 0
    last_ended: float | None = None
    last_status: str = ""
    held_until: float | None = None


@dataclass(frozen=True)
class Due:
    """Run it now."""

    fire: float


@dataclass(frozen=True)
class GivenUp:
    """Tried often enough: settle it as failed and go on with the next."""

    fire: float


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`, Unix seconds."""

    until: float


Step = Due | GivenUp | Wait


def next_step(
    timing: Timing, settled: float | None, tries_of: Callable[[float], Tries], retries: int, now: float
) -> Step:
    """What a scheduler does with a job now. `settled` None: no fire ever was; `tries_of(fire)`: its runs so far."""
    fire = next_fire(timing, settled, now)
    if timing.begins(fire) > now:
        return Wait(timing.begins(fire))
    tries = tries_of(fire)
    if tries.held_until is not None and tries.held_until > now:
        return Wait(tries.held_until)
    if tries.failed > retries and tries.held_until is None:
        return GivenUp(fire)
    ready = _ready_at(tries, timing.every)
    return Wait(ready) if ready > now else Due(fire)


def next_fire(timing: Timing, settled: float | None, now: float) -> float:
    """The fire that is due, or comes next. A job of an interval that never ran is due at once; one of a cron expression
    waits for its time."""
    newest = timing.newest(now)
    if settled is None:
        return newest if newest is not None and not timing.cron else timing.after(now)
    if newest is None or newest <= settled:
        return timing.after(max(settled, newest or settled))
    return timing.after(settled) if timing.catch_up == "all" else newest


def retry_seconds(failed: int, every: float) -> float:
    """How long to wait after the `failed`-th failure of a fire: twice as long each time, never beyond half an interval
    or an hour."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** (failed - 1), LONGEST_RETRY_SECONDS, every / 2)


def _ready_at(tries: Tries, every: float) -> float:
    if tries.last_ended is None:
        return -math.inf
    if tries.last_status == "deferred":
        return tries.last_ended + min(DEFER_SECONDS, every)
    if tries.last_status == "abandoned":
        return -math.inf  # it was killed: that says nothing against trying at once
    return tries.last_ended + retry_seconds(max(1, tries.failed), every)


def _trigger(cron: str) -> CronTrigger:
    try:
        return CronTrigger.from_crontab(cron, timezone=UTC)
    except ValueError as error:
        raise InvalidSchedule(
            f"{cron!r} is no cron expression ({error}): five fields, minute hour day month weekday", field="jobs.cron"
        ) from None
