"""What opinion-dependent silence could hide: bounds on E[y], without and with a limit on how much opinions matter.

Nothing that is logged tells an opinion kept silent from one nobody holds. Without any assumption the silent may all
dislike, or all like (Manski, Am. Econ. Rev. 1990). With one number, Gamma >= 1: holding the opinion `like` multiplies
the odds of voting, among people alike in x, by at most Gamma and at least 1 / Gamma (in the manner of Rosenbaum's
sensitivity analysis, Observational Studies, 2002, section 4). Odds ratios are symmetric, so the odds of `like` among
the silent are those among voters divided by that factor, which gives sharp bounds in closed form.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from infra.statistics import Estimate, clustered_mean
from ingest.selection.rates import FloatArray, Sample


@dataclass(frozen=True)
class Bounds:
    """The identified range [low, high] of E[y], and [least, most], an interval that holds E[y] itself with the
    confidence asked for (Imbens and Manski, Econometrica 2004)."""

    low: float
    high: float
    least: float
    most: float


def worst_case(sample: Sample, *, confidence: float = 0.95) -> Bounds:
    """Manski's bounds: E[R y] <= E[y] <= E[R y + 1 - R]."""
    silent = (~sample.voted).astype(np.float64)
    return _bounds(sample, sample.heard, sample.heard + silent, confidence)


def odds_ratio_bounds(sample: Sample, gamma: float, *, clip: float, confidence: float = 0.95) -> Bounds:
    """Sharp bounds when opinion changes the odds of voting by a factor of at most `gamma` >= 1 at given covariates."""
    low = silent_opinion_scores(sample, 1 / gamma, clip)
    high = silent_opinion_scores(sample, gamma, clip)
    return _bounds(sample, low, high, confidence)


def silent_opinion_scores(sample: Sample, factor: float, clip: float) -> FloatArray:
    """Scores whose mean is E[R y + (1 - R) g(q(x))], g(q) = factor q / (factor q + 1 - q): E[y] if the odds of `like`
    among the silent are `factor` times those among voters, at every x.

        R y + (1 - R) g(q) + R (1 - p) / p g'(q) (y - q),    g'(q) = factor / (factor q + 1 - q)^2,

    the last term makes a small error of q not matter (one-step correction); at factor 1 this is doubly robust.
    """
    q, weights = sample.predicted, sample.weights(clip)
    scale = factor * q + 1 - q
    silent = ~sample.voted
    correction = np.maximum(weights - 1, 0.0) * factor / scale**2 * (sample.opinions - q)
    return np.asarray(sample.heard + silent * factor * q / scale + np.where(sample.voted, correction, 0.0))


def explaining_gamma(sample: Sample, truth: float, *, clip: float, largest: float = 1000.0) -> float:
    """The smallest Gamma whose identified range holds `truth` in [0, 1]; `largest` if none below it does.

    With the opinion of the silent known from asking at random, this says how much opinion matters for voting.
    """

    def reaches(log_gamma: float) -> float:
        gamma = float(np.exp(log_gamma))
        factor = gamma if truth >= centre else 1 / gamma
        return abs(float(silent_opinion_scores(sample, factor, clip).mean()) - centre) - abs(truth - centre)

    centre = float(silent_opinion_scores(sample, 1.0, clip).mean())
    if reaches(np.log(largest)) < 0:
        return largest
    if reaches(0.0) >= 0:
        return 1.0
    return float(np.exp(optimize.brentq(reaches, 0.0, np.log(largest))))


def _bounds(sample: Sample, low: FloatArray, high: FloatArray, confidence: float) -> Bounds:
    lower = clustered_mean(low, sample.people, confidence=confidence)
    upper = clustered_mean(high, sample.people, confidence=confidence)
    critical = _critical(lower, upper, confidence)
    return Bounds(
        low=min(max(lower.mean, 0.0), 1.0),
        high=min(max(upper.mean, 0.0), 1.0),
        least=max(0.0, lower.mean - critical * lower.standard_error),
        most=min(1.0, upper.mean + critical * upper.standard_error),
    )


def _critical(lower: Estimate, upper: Estimate, confidence: float) -> float:
    """c with Phi(c + width / max SE) - Phi(-c) = confidence: between the one-sided and the two-sided normal value."""
    error = max(lower.standard_error, upper.standard_error)
    two_sided = float(stats.norm.ppf(0.5 + confidence / 2))
    if not np.isfinite(error) or error <= 0:
        return two_sided
    width = max(upper.mean - lower.mean, 0.0) / error
    return float(
        optimize.brentq(lambda c: stats.norm.cdf(c + width) - stats.norm.cdf(-c) - confidence, 0.0, two_sided + 1e-9)
    )
