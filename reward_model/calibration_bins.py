"""The reliability diagram with clustered variances: what calibration errors are computed of. Pure numpy.

Rows are answers, judged by people: rows of one person are not independent, nor are those of one question, which may
please or displease whatever is answered. Targets may be soft, rows weighted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

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
    predicted and `variance_observed` of observed, both as estimates, clustered by person and question, 0 where a bin
    has one of them alone (two-way: an unbiased difference, which may be below 0); `index` [N]: each row's bin.
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
    """One cell for each cluster c of each bin b: `bin_of`, `cluster` (numbered from 0) and `sums`, u_cb = sum w (x -
    mean of the bin) over the cell's rows; `factor` [B] = G / (G - 1) with G the bin's clusters, 0 for one; `mass` [B]
    the weight of each bin."""

    bin_of: Ints
    cluster: Ints
    sums: Array
    factor: Array
    mass: Array

    @property
    def variance(self) -> Array:
        """[B]: G / (G - 1) sum_c u_cb^2 / m_b^2."""
        squares = np.bincount(self.bin_of, np.square(self.sums), len(self.mass))
        return np.asarray(self.factor * squares / np.square(self.mass))

    @property
    def table(self) -> sparse.csr_array:
        """A [B, C], sqrt(G / (G - 1)) u_cb / m_b: A A' is the covariance of the bins' means, `variance` on its
        diagonal."""
        scale = np.sqrt(self.factor) / self.mass
        shape = (len(self.mass), int(self.cluster.max()) + 1)
        return sparse.csr_array((self.sums * scale[self.bin_of], (self.bin_of, self.cluster)), shape)


def reliability_diagram(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    bins: int = BINS,
    *,
    questions: Ints | None = None,
) -> ReliabilityDiagram:
    """Bins of equal mass; rows of equal probability share a bin, so there may be fewer. Arrays [N], N >= 1.

    With w_i weights, e_i = y_i - p_i and m the mass of bin b, u_c = sum_{i in b, c} w_i (e_i - mean e) over its people
    c of which there are G: variance = G / (G - 1) sum_c u_c^2 / m^2. With one row a person and p constant in the bin
    this is the y (1 - y) / (n - 1) of Kumar et al. 2019. With `questions` [N] the variance is clustered both ways, see
    `clusterings`. Raises InvalidCalibrationCheck.
    """
    _check(targets, probabilities, weights, people, questions)
    index = _equal_mass(probabilities, weights, bins)
    mass = np.asarray(np.bincount(index, weights), np.float64)
    ways = clusterings(people, questions)

    def variance(values: Array) -> Array:
        return np.asarray(sum(sign * scatter(values, weights, codes, index).variance for sign, codes in ways))

    return ReliabilityDiagram(
        share=mass / mass.sum(),
        predicted=np.bincount(index, weights * probabilities) / mass,
        observed=np.bincount(index, weights * targets) / mass,
        variance=variance(targets - probabilities),
        variance_observed=variance(targets),
        index=index,
    )


def clusterings(people: Ints, questions: Ints | None) -> tuple[tuple[float, Ints], ...]:
    """(sign, codes [N]) whose variances add up to that of a mean: by person alone, or people + questions - both.

    Where labels are people times questions, a mean over them varies with the draw of either: V = V_person + V_question
    - V_(person, question) (Cameron, Gelbach & Miller 2011, Journal of Business & Economic Statistics 29, eq. 2.11).
    Where every question is asked once, or is one person's alone, the last two are equal and V = V_person.
    """
    if questions is None:
        return ((1.0, people),)
    _, person = np.unique(people, return_inverse=True)
    _, question = np.unique(questions, return_inverse=True)
    both = person.astype(np.int64) * (int(question.max()) + 1) + question
    return (1.0, people), (1.0, questions), (-1.0, both)


def covariance(values: Array, weights: Array, index: Ints, ways: Sequence[tuple[float, Ints]]) -> Array:
    """Of the means of `values` [N] in the bins `index`, clustered in `ways` (see `clusterings`): [B, B], symmetric, the
    diagonal that of `ReliabilityDiagram`. Two-way it is a difference, so eigenvalues may be below 0."""
    tables = [(sign, scatter(values, weights, codes, index).table) for sign, codes in ways]
    return np.asarray(sum(sign * (table @ table.T).toarray() for sign, table in tables))


def scatter(values: Array, weights: Array, clusters: Ints, index: Ints) -> Scatter:
    """How `values` [N] scatter about the means of the bins `index` [N], summed by cluster [N]."""
    mass = np.asarray(np.bincount(index, weights), np.float64)
    _, code = np.unique(clusters, return_inverse=True)
    width = int(code.max()) + 1
    names, cell = np.unique(index * width + code, return_inverse=True)
    centred = values - (np.bincount(index, weights * values) / mass)[index]
    bin_of = names // width
    count = np.bincount(bin_of, minlength=len(mass))
    factor = np.where(count > 1, count / np.maximum(count - 1, 1), 0.0)
    sums = np.asarray(np.bincount(cell, weights * centred), np.float64)
    return Scatter(bin_of, names % width, sums, factor, mass)


def _equal_mass(probabilities: Array, weights: Array, bins: int) -> Ints:
    """Bin of each row, numbered from 0 without gaps."""
    _, place = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(place, weights)
    middle = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    bin_of = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(np.unique(bin_of, return_inverse=True)[1][place], np.int64)


def _check(targets: Array, probabilities: Array, weights: Array, people: Ints, questions: Ints | None) -> None:
    columns = {"targets": targets, "probabilities": probabilities, "weights": weights}
    codes = {"people": people} | ({} if questions is None else {"questions": questions})
    if len({len(values) for values in (*columns.values(), *codes.values())}) != 1 or not len(targets):
        counts = ", ".join(f"{len(values)} {name}" for name, values in (columns | codes).items())
        raise InvalidCalibrationCheck(
            f"one row or more and arrays of one length are needed, got {counts}", field="targets"
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
