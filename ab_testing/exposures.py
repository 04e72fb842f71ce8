"""Who was seen in which arm first, and when a person's values freeze. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ab_testing.metrics import RETURN
from infra.contracts import Device, Experiment
from infra.settings import Settings
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

FLIP = -1
"""Stage of a person seen in two arms."""
UNCOUNTED = 0
"""Stage of a person who is filed and in no count yet."""
FIRST_GROUP = 1
"""Stage of a person counted in the sample ratio, whose values of the first group of metrics freeze next."""


SEGMENTS: dict[str, tuple[str, ...]] = {
    "daytime": ("night", "morning", "afternoon", "evening"),
    "device": (*get_args(Device), "unknown"),
    "turn": ("first", "later"),
}
"""Every part of people that may be seen, by what parts them: known beforehand, so that errors can be shared out."""


@dataclass(frozen=True)
class Exposure:
    """A person's first answer in an experiment. `arms_seen` 2: seen in two arms or more, a flip, and excluded.

    `stage`: `FLIP`, `UNCOUNTED`, or n: the values of n - 1 groups of metrics are frozen.
    """

    user_key: str
    arm: str
    propensity: float
    phase: int
    arms_seen: int
    first_at: float
    stage: int = UNCOUNTED


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that freeze together, `freeze_after` seconds after a person's first exposure; `stage` is that of people
    who wait for it."""

    stage: int
    freeze_after: float
    metrics: tuple[MetricSettings, ...]


def freeze_after_of(metric: MetricSettings, settings: Settings) -> float:
    """From a person's first exposure to the instant this metric's value freezes, seconds.

    The metric's window, then the label window of the last answer in it and the lateness after which its label is
    final, then time for the label job to run. `return` needs no label: its window is the days after the first one.
    """
    rules, ingest = settings.ab_testing, settings.ingest
    if metric.objective == RETURN:
        span = (ingest.validity.return_days + 1) * ingest.validity.day_seconds
        return span + ingest.allowed_lateness_seconds + rules.allowed_lateness_seconds
    made_from = [metric.objective, metric.denominator] if metric.aggregate == "ratio" else [metric.objective]
    labelled = max(ingest.window_of(name) for name in made_from)
    window = metric.window_seconds or rules.metric_window_seconds
    return window + labelled + ingest.allowed_lateness_seconds + rules.allowed_lateness_seconds


def freeze_after_seconds(settings: Settings) -> float:
    """The longest of the metrics' own: after it everything about a person is frozen."""
    return max(freeze_after_of(metric, settings) for metric in settings.ab_testing.metrics)


def freeze_config(settings: Settings) -> dict[str, Any]:
    """What an experiment keeps of the settings of other rooms, so that its people are counted as at its start."""
    return {
        "freeze_after_seconds": freeze_after_seconds(settings),
        "freeze_after": {metric.name: freeze_after_of(metric, settings) for metric in settings.ab_testing.metrics},
        "return_days": settings.ingest.validity.return_days,
        "day_seconds": settings.ingest.validity.day_seconds,
        "label_seconds": max(settings.ingest.window_of(metric.objective) for metric in settings.ab_testing.metrics)
        + settings.ingest.allowed_lateness_seconds,
    }


def metric_groups(experiment: Experiment, rules: AbTestingSettings, freeze_after: float) -> list[MetricGroup]:
    """The metrics by when they freeze, soonest first; `freeze_after` where the experiment names none of its own."""
    named = experiment.config.get("freeze_after")
    own: Mapping[str, float] = named if isinstance(named, dict) else {}
    by_time: dict[float, list[MetricSettings]] = {}
    for metric in rules.metrics:
        by_time.setdefault(float(own.get(metric.name, freeze_after)), []).append(metric)
    return [
        MetricGroup(stage, after, tuple(by_time[after])) for stage, after in enumerate(sorted(by_time), FIRST_GROUP)
    ]


def exposures_to_write(seen: Sequence[Exposure], known: Mapping[str, Exposure]) -> list[Exposure]:
    """What the table of exposures lacks: new people, and people about whom an answer that came late says more.

    Once the first values of a person are frozen the first exposure stands; only the number of arms seen still moves.
    Whoever was counted in the sample ratio stays counted there; a flip is in no later count.
    """
    changed = []
    for person in seen:
        before = known.get(person.user_key)
        stage = UNCOUNTED if before is None else before.stage
        if stage != UNCOUNTED and person.arms_seen > 1:
            stage = FLIP
        first = person if before is None or UNCOUNTED <= before.stage <= FIRST_GROUP else before
        found = Exposure(
            first.user_key, first.arm, first.propensity, first.phase, person.arms_seen, first.first_at, stage
        )
        if found != before:
            changed.append(found)
    return changed


@dataclass(frozen=True)
class Due:
    """A person who may be counted, and the instant he or she is filed under."""

    exposure: Exposure
    frozen_at: float


def file_in_order(due: Sequence[Exposure], freeze_after: float, frontier: tuple[float, str]) -> list[Due]:
    """The people due, in the one order in which they count, each behind everybody already counted.

    The order is (frozen_at, user_key), frozen_at = first exposure + `freeze_after`. `frontier` is the greatest key
    already counted. Whoever would come before it (the answer reached the store too late) is filed right behind it, one
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


def daytime_of(instant: float) -> str:
    """Quarter of the day, UTC: `night`, `morning`, `afternoon` or `evening`."""
    return SEGMENTS["daytime"][int(instant % 86400 // 21600)]
