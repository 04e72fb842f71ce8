"""How much a short signal says about return, other things being equal."""

import numpy as np
from scipy import stats

from infra.statistics import Estimate
from ingest.validity.returns import FloatArray, IntArray


def adjusted_effect(
    outcome: FloatArray, signal: FloatArray, covariates: FloatArray, people: IntArray, *, confidence: float = 0.95
) -> Estimate | None:
    """Change of the mean outcome from signal 0 to signal 1 at the same covariates, by least squares.

    outcome (n,) = a + effect * signal (n,) + covariates (n, k) . b + error, with errors clustered by person:

        V = G / (G - 1) (Z'Z)^-1 (sum_g Z_g' u_g u_g' Z_g) (Z'Z)^-1,    Student's t with G - 1 degrees of freedom

    (Liang and Zeger, Biometrika 1986; Cameron and Miller, J. Human Resources 2015). None when the signal does not vary
    beyond the covariates, when these leave nothing of the outcome to explain, or with fewer than two people.
    """
    clusters = np.unique(people, return_inverse=True)[1]
    groups = int(clusters.max()) + 1 if clusters.size else 0
    if groups < 2:
        return None
    others = np.column_stack([np.ones(len(outcome)), covariates])
    # Frisch and Waugh: what the covariates do not explain of the signal is all that counts.
    left = signal - others @ np.linalg.lstsq(others, signal, rcond=None)[0]
    spread = float(left @ left)
    if spread < 1e-9 * max(len(outcome), 1):
        return None
    rest = outcome - others @ np.linalg.lstsq(others, outcome, rcond=None)[0]
    if float(rest @ rest) < 1e-18 * max(float(outcome @ outcome), 1.0):
        return None  # the noise of rounding, whose interval would be as small as its value
    effect = float(left @ outcome) / spread
    everything = np.column_stack([others, signal])
    residual = outcome - everything @ np.linalg.lstsq(everything, outcome, rcond=None)[0]
    sums = np.bincount(clusters, weights=left * residual)
    error = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum())) / spread
    half = float(stats.t.ppf(0.5 + confidence / 2, groups - 1)) * error
    return Estimate(effect, effect - half, effect + half, error, groups)
