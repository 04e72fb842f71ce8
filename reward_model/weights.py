"""Weights of opinions: a cap on what one person may teach, what repeats of a text count, and how many equal opinions
they are worth. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infra.statistics import effective_sample_size

Array = NDArray[np.float64]


def cap_by_person(weights: Array, people: Sequence[str], cap: float) -> Array:
    """Scale each person's weights [N] down so that they sum to at most `cap`; those below keep theirs.

    Few people vote a lot, and a bot votes most: a cap bounds what any one of them can teach.
    """
    if not len(weights):
        return weights
    _, index = np.unique(np.asarray(people), return_inverse=True)
    totals = np.bincount(index, weights)
    return np.asarray(weights * np.minimum(1.0, cap / np.maximum(totals, 1e-12))[index])


def discount_repeats(counts: Array | NDArray[np.int64], correlation: float) -> Array:
    """1 / (1 + rho (n - 1)) for texts with `counts` n >= 1 labels each, in (0, 1]: what each of those labels counts.

    Labels of one text share what makes it better or worse than its features say. Of n labels whose correlation, given
    the features, is rho, the sum is worth n / (1 + rho (n - 1)) labels of different texts (the design effect of Kish
    1965; the working correlation of Liang & Zeger 1986, Biometrika 73, 13). `correlation` in [0, 1]; 0: all count.
    """
    return np.asarray(1.0 / (1.0 + correlation * (np.asarray(counts, np.float64) - 1.0)))


def kish(weights: Array) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of the weights above 0 (Kish 1965), in [0, N]: so many opinions of
    equal weight would say as much. Does not depend on the unit of the weights; 0 for none."""
    positive = weights[weights > 0.0]
    # In units of the largest, so that neither tiny nor huge weights leave the range of floats when squared.
    return effective_sample_size(positive / positive.max()) if len(positive) else 0.0


def effective_news(new: Array, everything: Array) -> float:
    """How many usual opinions the `new` weights are worth: kish(new) * min(1, mean(new) / mean(everything)).

    The second factor is what the first cannot see: a thousand votes that all weigh a tenth of the usual are equal to
    each other, and yet say a tenth. Never more than the number of new weights; 0 for none.
    """
    positive, whole = new[new > 0.0], everything[everything > 0.0]
    if not len(positive) or not len(whole):
        return 0.0
    return kish(positive) * min(1.0, float(positive.mean() / whole.mean()))
