"""Many differences looked at together: which rose, with one error rate for all of them. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_update.gating.samples import FloatArray

FLIPS = 4000


@dataclass(frozen=True)
class Rises:
    """`rise` (m,) mean differences; `p` (m,) the chance that under no difference at all any of the m columns would have
    looked so much like a rise (adjusted for all m), in [1 / (FLIPS + 1), 1]."""

    rise: FloatArray
    p: FloatArray


def by_prompt(values: FloatArray, prompt: NDArray[np.int64]) -> FloatArray:
    """Sums over the answers of each prompt: (n, m) -> (prompts, m)."""
    _, index = np.unique(prompt, return_inverse=True)
    sums = np.zeros((int(index.max()) + 1 if index.size else 0, values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def rises(differences: FloatArray, prompt: NDArray[np.int64], seed: int = 0) -> Rises:
    """One-sided tests of mean difference > 0 for each column of `differences` (n, m), familywise, clustered by prompt.

    With d_p the sum over the answers of prompt p, t = sum_p d_p / sqrt(sum_p d_p^2). If candidate and champion answer a
    prompt alike, d_p and -d_p are equally likely for all columns at once; the p value is the share of random signs a
    prompt whose largest t of any column reaches the one seen (max-T: Westfall and Young, Resampling-Based Multiple
    Testing, 1993; sign-flips: Romano, J. Am. Stat. Assoc. 1990). Exact for any number of prompts, and columns that
    hardly ever occur cost the others nothing.
    """
    sums = by_prompt(differences, prompt)
    if not sums.size:
        return Rises(np.zeros(differences.shape[1]), np.ones(differences.shape[1]))
    scale = np.sqrt(np.square(sums).sum(0))
    scaled = np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
    seen = scaled.sum(0)
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, size=(FLIPS, len(sums)), dtype=np.int8) - 1.0
    largest = (signs @ scaled).max(1)
    # A hair below, so that rounding does not turn a tie (all prompts rose) into something never seen.
    beaten = (largest[:, None] >= seen[None, :] - 1e-9).sum(0)
    return Rises(differences.mean(0), np.asarray((1 + beaten) / (1 + FLIPS)))
