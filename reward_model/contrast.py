"""Whether answers to one question differ by as much as their probabilities say. Pure numpy.

A calibration is fitted on all answers together, so it is a compromise: heads say more of questions than they can know,
which a calibration takes back, and with it some of the differences between answers to one question. Those are all that
a policy can choose from: what is foreseen of a policy that chooses otherwise is then too small (Mundlak 1978,
Econometrica 46, 69: slopes within and between groups are two).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRIOR = 0.1
"""Standard deviation of a contrast about 1, before anything is seen."""
_FEWEST_GROUPS = 10


def fit_contrast(probabilities: Array, targets: Array, weights: Array, groups: Ints) -> float:
    """The contrast c of targets [N] on probabilities [N] that saw neither the row nor its group: by how much a
    difference between two answers of a group exceeds that of their probabilities. 1 where they are true.

    The weighted least-squares slope within groups, sum w (y - y_g) (p - p_g) / sum w (p - p_g)^2, with a standard error
    s clustered by group, drawn towards 1 by a normal prior of standard deviation t: 1 + (c - 1) t^2 / (t^2 + s^2).
    Weights [N] >= 0, groups [N]. A group of one row, or of equal probabilities, says nothing; with fewer than ten that
    say something it is 1.
    """
    _, index = np.unique(groups, return_inverse=True)
    mass = np.maximum(np.bincount(index, weights), np.finfo(np.float64).tiny)

    def inside(values: Array) -> Array:
        return np.asarray(values - (np.bincount(index, weights * values) / mass)[index])

    p = inside(probabilities)
    top, bottom = (np.bincount(index, weights * p * values) for values in (inside(targets), p))
    # Rounding leaves differences of 1e-17 between equal probabilities.
    some = bottom > 1e-12 * mass
    count, total = int(some.sum()), float(bottom[some].sum())
    if count < _FEWEST_GROUPS:
        return 1.0
    slope = float(top[some].sum()) / total
    rest = top[some] - slope * bottom[some]
    variance = count / (count - 1) * float(np.square(rest).sum()) / total**2
    return 1.0 + (slope - 1.0) * _PRIOR**2 / (_PRIOR**2 + variance)
