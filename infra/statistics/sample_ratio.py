"""Sample-ratio mismatch, watched all the time: do people land in the arms as often as they should?

Multinomial against a Dirichlet mixture (Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data",
NeurIPS 2022).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from infra.statistics.two_arm import BoolArray, FloatArray, IntArray, InvalidStatisticsInput


def log_dirichlet_factor(counts: FloatArray, shares: FloatArray, concentration: float) -> FloatArray:
    """Logarithm (nats) of the e-value of counts (last axis: arms) against the intended `shares` (sum 1).

    E_n = [B(a + n) / B(a)] / prod_i theta_i^{n_i},  a = concentration * theta,  B the multivariate beta function.
    """
    prior = concentration * shares
    return np.asarray(
        gammaln(prior + counts).sum(-1)
        - gammaln((prior + counts).sum(-1))
        - gammaln(prior).sum()
        + gammaln(prior.sum())
        - (counts * np.log(shares)).sum(-1)
    )


def sample_ratio_e_process(
    in_challenger: BoolArray, phase: IntArray, challenger_share: NDArray[np.float64], concentration: float = 100.0
) -> FloatArray:
    """Logarithm (nats) of the e-process after 0, 1, ..., n people, in order of arrival.

    `challenger_share[phase]` in (0, 1): how likely a counted person of that phase is in the challenger. Every phase
    has its own factor; the factors multiply. `concentration` > 0: about the number of people after which a deviation
    of the size 1 / sqrt(concentration) is looked for; larger is more patient.
    """
    if concentration <= 0:
        raise InvalidStatisticsInput(f"concentration must be positive, got {concentration}", field="concentration")
    path = np.zeros(in_challenger.shape[0] + 1)
    for index in np.unique(phase):
        here = phase == index
        theta = float(challenger_share[index])
        if not 0 < theta < 1:
            raise InvalidStatisticsInput(
                f"the challenger's share must lie strictly between 0 and 1, got {theta} in phase {index}",
                field="challenger_share",
            )
        counts = np.stack([np.cumsum(here & in_challenger), np.cumsum(here & ~in_challenger)], axis=-1)
        path[1:] += log_dirichlet_factor(counts.astype(np.float64), np.array([theta, 1 - theta]), concentration)
    return path
