"""Circuit breakers: an arm that fails, says nothing or dawdles is given up here at once, by whichever replica sees it.

For each arm that is not the champion, three alarms (`infra.statistics.share_alarm`) share `alpha`: errors, empty
answers, and answers slower than a multiple of the champion's percentile, an event that an arm within the limit shows
with at most the probability of being above its own percentile. The champion has the same alarms for comparison only:
while its own alarm sounds the trouble is the replica's, so the arm's answers are left out, and it is never given up.

Unless it is new: in a holdback the champion before still answers as many counted people, and trouble that only the new
one has takes it back. Each counted answer of the one before is held against the latest of the new one; what befalls
both befell the replica. An outage that begins or ends between the two makes one such pair, no more.
"""

import threading
from collections.abc import Sequence
from typing import Literal, NamedTuple

import structlog

from infra.contracts import AdapterRef, Arm, Experiment
from infra.metrics import catalogue as metrics
from infra.settings.breakers import BreakerSettings
from infra.statistics.share_alarm import ShareAlarm
from serving.latencies import Latencies

log = structlog.get_logger()

Signal = Literal["errors", "empty", "slow"]
SIGNALS: tuple[Signal, ...] = ("errors", "empty", "slow")
MIN_CHAMPION_ANSWERS = 50
"""Answers of the champion before anything is called slow."""
_ArmKey = tuple[str, Arm]


class Outcome(NamedTuple):
    """How one request went. `seconds` and `empty` mean nothing where it `failed`."""

    failed: bool
    empty: bool = False
    seconds: float = 0.0


class Trip(NamedTuple):
    """An arm that was given up, and why."""

    experiment_id: str
    arm: Arm
    signal: Signal
    reason: str


class _Compared:
    """A new champion beside the one before: alarms of what only the new one does, its latest answer that is not held
    against any yet, and the seconds of the one before."""

    def __init__(self, alarms: dict[Signal, ShareAlarm], window: int) -> None:
        self.alarms = alarms
        self.latest: Outcome | None = None
        self.seconds = Latencies(window)


class Breakers:
    """The alarms of one replica. Safe to share between threads."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._limits: dict[Signal, float] = {
            "errors": settings.max_error_share, "empty": settings.max_empty_share, "slow": settings.max_slow_share
        }  # fmt: skip
        self._lock = threading.Lock()
        self._arms: dict[_ArmKey, dict[Signal, ShareAlarm]] = {}
        self._champion: AdapterRef | None = None
        self._champion_alarms = self._new_alarms()
        self._champion_seconds = Latencies(settings.champion_window)
        self._compared: dict[str, _Compared] = {}
        self._unwritten: list[Trip] = []
        self.tripped: frozenset[_ArmKey] = frozenset()

    def champion_answered(self, champion: AdapterRef, outcome: Outcome) -> None:
        """One request answered, or not, by the champion, whomever it was for."""
        with self._lock:
            if champion != self._champion:
                self._champion, self._champion_alarms = champion, self._new_alarms()
                self._champion_seconds.clear()
            limit = self._slow_limit(self._champion_seconds)
            for signal, happened in _events(outcome, limit):
                self._champion_alarms[signal].observe(happened)
            if not outcome.failed:
                self._champion_seconds.append(outcome.seconds)

    def arm_answered(self, experiment_id: str, arm: Arm, outcome: Outcome) -> Trip | None:
        """One request of an arm that is not the champion; the trip, if this was one too many."""
        if not self._settings.enabled:
            return None
        key = (experiment_id, arm)
        with self._lock:
            if key in self.tripped:
                return None
            alarms = self._arms.setdefault(key, self._new_alarms())
            for signal, happened in _events(outcome, self._slow_limit(self._champion_seconds)):
                if not self._sounds(self._champion_alarms[signal]):
                    alarms[signal].observe(happened)
            return self._given_up(key, alarms)

    def new_champion_answered(self, holdback_id: str, outcome: Outcome) -> None:
        """One counted request of a new champion in its holdback."""
        with self._lock:
            self._comparison(holdback_id).latest = outcome

    def champion_before_answered(self, holdback_id: str, outcome: Outcome) -> Trip | None:
        """One counted request of the champion before, held against the latest of the new one; the trip of the new
        champion, if that was one too many."""
        if not self._settings.enabled:
            return None
        key: _ArmKey = (holdback_id, "challenger")
        with self._lock:
            known = self._comparison(holdback_id)
            limit = self._slow_limit(known.seconds)
            if not outcome.failed:
                known.seconds.append(outcome.seconds)
            if known.latest is None or key in self.tripped:
                return None
            too = {signal for signal, happened in _events(outcome, limit) if happened}
            for signal, happened in _events(known.latest, limit):
                known.alarms[signal].observe(happened and not outcome.failed and signal not in too)
            known.latest = None
            return self._given_up(key, known.alarms, " that the champion before answers well")

    def keep(self, running: Sequence[Experiment]) -> None:
        """Forget the arms of experiments that run no longer."""
        ids = {experiment.experiment_id for experiment in running}
        with self._lock:
            self._arms = {key: alarms for key, alarms in self._arms.items() if key[0] in ids}
            self._compared = {key: known for key, known in self._compared.items() if key in ids}
            self.tripped = frozenset(key for key in self.tripped if key[0] in ids)

    def unwritten(self) -> list[Trip]:
        """Trips that the store does not know yet."""
        with self._lock:
            return list(self._unwritten)

    def written(self, trips: Sequence[Trip]) -> None:
        """The store has them."""
        with self._lock:
            self._unwritten = [trip for trip in self._unwritten if trip not in trips]

    def _new_alarms(self) -> dict[Signal, ShareAlarm]:
        return {signal: ShareAlarm(limit) for signal, limit in self._limits.items()}

    def _comparison(self, holdback_id: str) -> _Compared:
        return self._compared.setdefault(holdback_id, _Compared(self._new_alarms(), self._settings.champion_window))

    def _given_up(self, key: _ArmKey, alarms: dict[Signal, ShareAlarm], beside: str = "") -> Trip | None:
        """The trip of an arm one of whose alarms has gone off; the caller holds the lock."""
        over = next((signal for signal in SIGNALS if self._over(alarms[signal])), None)
        if over is None:
            return None
        trip = Trip(*key, over, self._reason(over, alarms[over], beside))
        self.tripped |= {key}
        self._unwritten.append(trip)
        metrics.SERVING_BREAKER_TRIPS.labels(signal=over).inc()
        log.error("breaker_tripped", experiment=key[0], arm=key[1], signal=over, reason=trip.reason)
        return trip

    def _sounds(self, alarm: ShareAlarm) -> bool:
        return alarm.e_value >= len(SIGNALS) / self._settings.alpha

    def _over(self, alarm: ShareAlarm) -> bool:
        return alarm.seen >= self._settings.min_requests and self._sounds(alarm)

    def _slow_limit(self, seconds: Latencies) -> float | None:
        """Seconds above which an answer is slow: the multiple of a champion's percentile, from what it did so far."""
        known = len(seconds)
        if known < MIN_CHAMPION_ANSWERS:
            return None
        rank = min(known - 1, int((1 - self._settings.max_slow_share) * known))
        return self._settings.latency_multiple * seconds.ranked(rank)

    def _reason(self, signal: Signal, alarm: ShareAlarm, beside: str = "") -> str:
        limit = self._limits[signal]
        what = {
            "errors": f"more than {limit:.2%} of the requests fail",
            "empty": f"more than {limit:.2%} of the answers are blank",
            "slow": f"more than {limit:.2%} of the answers take {self._settings.latency_multiple:g} times the "
            "champion's percentile",
        }[signal]
        return f"{what}{beside}: e-value {alarm.e_value:.3g} after {alarm.seen} requests"


def _events(outcome: Outcome, slow_limit: float | None) -> list[tuple[Signal, bool]]:
    """What one request says about each limit; a failed one says nothing about blanks and time."""
    events: list[tuple[Signal, bool]] = [("errors", outcome.failed)]
    if not outcome.failed:
        events.append(("empty", outcome.empty))
        if slow_limit is not None:
            events.append(("slow", outcome.seconds > slow_limit))
    return events
