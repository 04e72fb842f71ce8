"""`return`: the person was active again on days 1 to 7. A number a person and day, never divided among answers.

A day counts only when its seven days are over: before, a person who has not returned may still return.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PersonDay:
    """One day of one person: answers got, days active among the `return_days` before, and whether the person returned
    (None while the seven days are not over)."""

    person: str
    day: int
    answers: int
    active_before: int
    returned: bool | None


@dataclass(frozen=True)
class Frame:
    """Person-days as arrays (n,): `returned` 0 or 1, `values` by objective (NaN where it says nothing), `covariates`
    (n, k), and `people`, numbered."""

    returned: FloatArray
    values: dict[str, FloatArray]
    covariates: FloatArray
    people: IntArray


def day_of(instant: float, day_seconds: float) -> int:
    """The day, counted from 1970, in which an instant (Unix seconds) lies."""
    return math.floor(instant / day_seconds)


def person_days(
    activity: Iterable[tuple[str, float]], *, until: float, return_days: int, day_seconds: float
) -> dict[tuple[str, int], PersonDay]:
    """Days by (person, day), from (person, instant) of each request; `until`: everything before it is known."""
    answers: dict[tuple[str, int], int] = defaultdict(int)
    for person, instant in activity:
        answers[person, day_of(instant, day_seconds)] += 1
    return {
        (person, day): PersonDay(
            person,
            day,
            count,
            sum((person, day - back) in answers for back in range(1, return_days + 1)),
            _returned(answers, person, day, return_days) if (day + return_days + 1) * day_seconds <= until else None,
        )
        for (person, day), count in answers.items()
    }


def return_rate(days: Iterable[PersonDay]) -> tuple[float, int]:
    """(share of person-days with a known outcome after which the person returned, number of them); NaN without any."""
    known = [day.returned for day in days if day.returned is not None]
    return (sum(known) / len(known) if known else math.nan), len(known)


def frame_of(
    days: Mapping[tuple[str, int], PersonDay],
    labelled: Iterable[tuple[tuple[str, int], Mapping[str, float | None]]],
    objectives: Sequence[str],
) -> Frame:
    """Person-days with a known outcome and the mean value of each objective over the answers of that day; `labelled`
    gives (person, day) and the values of each labelled answer. Covariates: log answers, days active before, both."""
    sums: dict[tuple[str, int], dict[str, list[float]]] = {}
    for key, values in labelled:
        if key in days and days[key].returned is not None:
            of_day = sums.setdefault(key, {name: [] for name in objectives})
            for name in objectives:
                value = values.get(name)
                if value is not None:
                    of_day[name].append(value)
    keys = sorted(sums)
    table = {
        name: np.array([math.fsum(v) / len(v) if (v := sums[key][name]) else math.nan for key in keys])
        for name in objectives
    }
    busy = np.array([math.log(days[key].answers) for key in keys])
    before = np.array([float(days[key].active_before) for key in keys])
    return Frame(
        np.array([float(bool(days[key].returned)) for key in keys]),
        table,
        np.column_stack([busy, before, before > 0]) if keys else np.empty((0, 3)),
        np.unique([person for person, _ in keys], return_inverse=True)[1] if keys else np.empty(0, dtype=np.int64),
    )


def _returned(answers: Mapping[tuple[str, int], int], person: str, day: int, return_days: int) -> bool:
    return any((person, day + ahead) in answers for ahead in range(1, return_days + 1))
