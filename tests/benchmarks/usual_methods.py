"""Methods that others decide by, as they are written down: what ours are compared with. None decides here.

`tests/benchmarks/test_usual_methods.py` holds them to the numbers of the libraries people take them from.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, ndtr, zeta

Floats = NDArray[np.float64]

NODES = 200
"""Of the quadrature over Brownian motion that has not left yet; 60 give the same to 14 digits."""
FARTHEST = 9.0
"""Standard deviations below zero where the quadrature of a one-sided boundary begins."""


def chi_square_p(counts: Floats, shares: Floats, correction: float = 0.0) -> Floats:
    """p of Pearson's sample-ratio test, sum (|O - E| - correction)^2 / E; `counts` (..., arms), `shares` (arms,) with
    sum 1. `correction` 1/2: Yates, for two arms. Valid at one look that was fixed beforehand."""
    expected = counts.sum(axis=-1, keepdims=True) * shares
    distance = np.maximum(np.abs(counts - expected) - correction, 0.0)
    return np.asarray(chdtrc(len(shares) - 1, (distance**2 / expected).sum(axis=-1)))


def poly_stitching_bound(time: Floats | float, alpha: float, least: float, s: float = 1.4, eta: float = 2.0) -> Floats:
    """Boundary that a sum with variance `time` crosses ever with probability at most `alpha`, one-sided; constant
    before the variance `least`.

    k1 sqrt(v l),  l = s ln ln(eta v / least) + ln(zeta(s) / ln(eta)^s) + ln(1 / alpha), k1 = (eta^1/4 + eta^-1/4) /
    sqrt 2 (Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021, eq. 10, of sub-Gaussian sums): it grows with the
    iterated logarithm, the slowest there is, where a mixture's grows with the logarithm.
    """
    v = np.maximum(time, least)
    loss = s * np.log(np.log(eta * v / least)) + math.log(zeta(s) / math.log(eta) ** s) + math.log(1 / alpha)
    return np.asarray((eta**0.25 + eta**-0.25) / math.sqrt(2) * np.sqrt(v * loss))


def group_sequential_boundaries(times: Sequence[float], alpha: float = 0.05, exponent: float = 2.0) -> list[float]:
    """z at which a one-sided test stops at each of its looks, which are planned: `times` are shares of the information
    at the last one, rising to 1. Error spent by t: alpha t^exponent.

    Lan and DeMets, Biometrika 1983: z_k makes the chance of first leaving at look k what may be spent there; the
    Brownian motion that has not left is carried from look to look by quadrature (Armitage, McPherson, Rowe, JRSS-A
    1969), here Gauss and Legendre's.
    """
    unit, weights = np.polynomial.legendre.leggauss(NODES)
    at, mass, before, spent, found = np.zeros(1), np.ones(1), 0.0, 0.0, []
    for time in times:
        step, root, due = math.sqrt(time - before), math.sqrt(time), alpha * time**exponent - spent

        def excess(
            z: float, at: Floats = at, mass: Floats = mass, step: float = step, root: float = root, due: float = due
        ) -> float:
            return float(mass @ ndtr((at - z * root) / step)) - due

        found.append(float(brentq(excess, 0.0, FARTHEST, xtol=1e-13)))
        low, high = -FARTHEST * root, found[-1] * root
        nodes = (high - low) / 2 * unit + (high + low) / 2
        density = np.exp(-(((nodes[:, None] - at) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        at, mass = nodes, (high - low) / 2 * weights * (density @ mass)
        before, spent = time, spent + due
    return found
