"""Who was seen in which arm first, and when a person's values freeze. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.settings import Settings


@dataclass(frozen=True)
class Exposure:
    """A person's first answer in an experiment. `arms_seen` 2: seen in both arms, counted as a flip and excluded."""

    user_key: str
    arm: str
    propensity: float
    phase: int
    arms_seen: int
    first_at: float


def freeze_after_seconds(settings: Settings) -> float:
    """From a person's first exposure to the instant their values freeze, seconds.

    The metric's window, then the longest label window, over the objectives of all metrics, of the last answer in it and
    the lateness after which its label is final, then time for the label job to run.
    """
    windows = [settings.ingest.window_of(metric.objective) for metric in settings.ab_testing.metrics]
    return (
        settings.ab_testing.metric_window_seconds
        + max(windows, default=settings.ingest.window_seconds)
        + settings.ingest.allowed_lateness_seconds
        + settings.ab_testing.allowed_lateness_seconds
    )


def exposures_to_write(
    seen: Sequence[Exposure], known: Mapping[str, Exposure], frozen: frozenset[str]
) -> list[Exposure]:
    """What the table of exposures lacks: new people, and people about whom an answer that came late says more.

    The first exposure of a frozen person stands; only the number of arms seen still moves.
    """
    changed = []
    for person in seen:
        before = known.get(person.user_key)
        if before is not None and person.user_key in frozen:
            person = Exposure(
                before.user_key, before.arm, before.propensity, before.phase, person.arms_seen, before.first_at
            )
        if person != before:
            changed.append(person)
    return changed


@dataclass(frozen=True)
class Due:
    """A person whose values may be frozen, and the instant they are filed under."""

    exposure: Exposure
    frozen_at: float


def file_in_order(due: Sequence[Exposure], freeze_after: float, frontier: tuple[float, str]) -> list[Due]:
    """The people due, in the one order in which they count, each behind everybody already frozen.

    The order is (frozen_at, user_key), frozen_at = first exposure + `freeze_after`. `frontier` is the greatest key
    already frozen. Whoever would come before it (the answer reached the store too late) is filed right behind it, one
    representable instant later: what a test has counted keeps its place for ever.
    """
    filed = []
    last = frontier
    for exposure in sorted(due, key=lambda person: (person.first_at, person.user_key)):
        frozen_at = exposure.first_at + freeze_after
        if (frozen_at, exposure.user_key) <= last:
            frozen_at = math.nextafter(last[0], math.inf)
        filed.append(Due(exposure, frozen_at))
        last = (frozen_at, exposure.user_key)
    return filed


def until_first_waiting(due: Sequence[Due], waiting: frozenset[str]) -> list[Due]:
    """The people before the first one whose labels are not final yet: nobody overtakes, or the order would depend on
    when labels were made."""
    ready = []
    for person in due:
        if person.exposure.user_key in waiting:
            break
        ready.append(person)
    return ready
