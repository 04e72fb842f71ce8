"""What an opinion still counts after a while: tastes drift, so weight halves with every half-life. Pure."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST = 1e-6
"""No opinion ages away altogether: a weight of 0 would take it out of the set and out of the counts."""


def age_weights(times: Array, half_life_seconds: float) -> Array:
    """Factors [N] in [SMALLEST, 1] of opinions given at `times` [N], Unix seconds:

        a_i = max(SMALLEST, 2^(-(max_j t_j - t_i) / h)),    h = `half_life_seconds`

    Age is counted from the newest opinion and not from now: only differences matter, and a set does not change while
    nothing comes in. h = 0 (or infinite): all 1. Raises ValueError unless h >= 0 and every time is finite.
    """
    if not half_life_seconds >= 0.0:
        raise ValueError(f"half_life_seconds is {half_life_seconds}; give seconds >= 0, 0 for no ageing")
    times = np.asarray(times, np.float64)
    if not np.isfinite(times).all():
        raise ValueError(f"times[{int(np.flatnonzero(~np.isfinite(times))[0])}] is not a finite instant")
    if not len(times) or half_life_seconds == 0.0:
        return np.ones(len(times))
    return np.asarray(np.maximum(SMALLEST, np.exp2(-(times.max() - times) / half_life_seconds)))
