"""A cap on what one person may weigh in any window of time: two hundred votes weigh no more than `cap`."""

import numpy as np

from ingest.trust.evidence import Floats, Ints


def busiest_window(person: Ints, at: Floats, people: int, window_seconds: float) -> Ints:
    """(people,) the most votes each person gave within any half-open window [t, t + window_seconds).

    `person` (n,) and `at` (n,), Unix seconds, in any order.
    """
    most = np.zeros(people, np.int64)
    if not len(person):
        return most
    order = np.lexsort((at, person))
    who, when = person[order], at[order]
    # One search over all people at once: shift each person's times so far apart that no window spans two people.
    span = float(when.max() - when.min()) + 2.0 * window_seconds
    line = (when - when.min()) + who * span
    # A window that holds the most begins at a vote; half-open: a vote exactly one window later is outside.
    ends = np.searchsorted(line, line + window_seconds, side="left")
    np.maximum.at(most, who, ends - np.arange(len(line)))
    return most


def cap_factors(busiest: Ints, cap: float) -> Floats:
    """(people,) what each vote of a person weighs: min(1, cap / n), n the votes in their busiest window.

    n votes together then weigh min(n, cap).
    """
    return np.minimum(1.0, cap / np.maximum(busiest, 1))
