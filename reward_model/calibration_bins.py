"""The reliability diagram with variances clustered by person: what calibration errors are computed of. Pure numpy.

Rows are answers, judged by people; rows of one person are not independent. Targets may be soft, rows weighted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15


class InvalidCalibrationCheck(PlauditError):
    """Arrays that no calibration error can be computed of."""

    code = "invalid_calibration_check"
    status = 422


@dataclass(frozen=True)
class ReliabilityDiagram:
    """B bins of equal mass, in order of probability. All arrays [B] but `index`.

    `share` of the weight, sums to 1; `predicted` mean probability; `observed` mean target; `variance` of observed -
    predicted and `variance_observed` of observed, both as estimates, clustered by person, 0 where a bin has one person;
    `index` [N]: each row's bin.
    """

    share: Array
    predicted: Array
    observed: Array
    variance: Array
    variance_observed: Array
    index: Ints

    @property
    def gap(self) -> Array:
        """observed - predicted."""
        return np.asarray(self.observed - self.predicted)


@dataclass(frozen=True)
class Scatter:
    """One cell for each person c of each bin b: `bin_of`, `person` (numbered from 0) and `sums`, u_cb = sum w (x - mean
    of the bin) over the cell's rows; `factor` [B] = G / (G - 1) with G the bin's people, 0 for one."""

    bin_of: Ints
    person: Ints
    sums: Array
    factor: Array


def reliability_diagram(
    targets: Array, probabilities: Array, weights: Array, people: Ints, bins: int = BINS
) -> ReliabilityDiagram:
    """Bins of equal mass; rows of equal probability share a bin, so there may be fewer. Arrays [N], N >= 1.

    With w_i weights, e_i = y_i - p_i and m the mass of bin b, u_c = sum_{i in b, c} w_i (e_i - mean e) over its people
    c of which there are G: variance = G / (G - 1) sum_c u_c^2 / m^2. With one row a person and p constant in the bin
    this is the y (1 - y) / (n - 1) of Kumar et al. 2019. Raises InvalidCalibrationCheck.
    """
    _check(targets, probabilities, weights, people)
    index = _equal_mass(probabilities, weights, bins)
    mass = np.asarray(np.bincount(index, weights), np.float64)
    return ReliabilityDiagram(
        share=mass / mass.sum(),
        predicted=np.bincount(index, weights * probabilities) / mass,
        observed=np.bincount(index, weights * targets) / mass,
        variance=_variance(scatter(targets - probabilities, weights, people, index), mass),
        variance_observed=_variance(scatter(targets, weights, people, index), mass),
        index=index,
    )


def scatter(values: Array, weights: Array, people: Ints, index: Ints) -> Scatter:
    """How `values` [N] scatter about the means of the bins `index` [N], summed by person."""
    mass = np.bincount(index, weights)
    _, person = np.unique(people, return_inverse=True)
    width = int(person.max()) + 1
    names, cell = np.unique(index * width + person, return_inverse=True)
    centred = values - (np.bincount(index, weights * values) / mass)[index]
    bin_of = names // width
    count = np.bincount(bin_of, minlength=len(mass))
    factor = np.where(count > 1, count / np.maximum(count - 1, 1), 0.0)
    sums = np.asarray(np.bincount(cell, weights * centred), np.float64)
    return Scatter(bin_of, names % width, sums, factor)


def _variance(found: Scatter, mass: Array) -> Array:
    squares = np.bincount(found.bin_of, np.square(found.sums), len(mass))
    return np.asarray(found.factor * squares / np.square(mass))


def _equal_mass(probabilities: Array, weights: Array, bins: int) -> Ints:
    """Bin of each row, numbered from 0 without gaps."""
    _, place = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(place, weights)
    middle = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    bin_of = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(np.unique(bin_of, return_inverse=True)[1][place], np.int64)


def _check(targets: Array, probabilities: Array, weights: Array, people: Ints) -> None:
    columns = {"targets": targets, "probabilities": probabilities, "weights": weights}
    if len({len(targets), len(probabilities), len(weights), len(people)}) != 1 or not len(targets):
        raise InvalidCalibrationCheck(
            f"one row or more and four arrays of one length are needed, got {len(targets)} targets, "
            f"{len(probabilities)} probabilities, {len(weights)} weights and {len(people)} people",
            field="targets",
        )
    for name, values in columns.items():
        broken = ~((values >= 0) & (values <= (np.inf if name == "weights" else 1.0)) & np.isfinite(values))
        if name == "weights":
            broken |= values == 0
        if broken.any():
            row = int(np.argmax(broken))
            rule = "above 0" if name == "weights" else "in [0, 1]"
            raise InvalidCalibrationCheck(
                f"{name} must be finite and {rule}, row {row} is {values[row]}: leave such rows out", field=name
            )
