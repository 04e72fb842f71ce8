"""The flip rate left in the records, overall and by source, with intervals; never given. Pure numpy.

Five ways to it, each needing something else:

- `joint`: all records of all pairs together, and a model's margins where there are some (`rater_noise`); the summary.
- `margins`: how often records contradict margins of a model that has not seen them (`noise`); needs good margins.
- `repeated`: two people on the same pair disagree with probability d = 2 e (1 - e), so e = (1 - sqrt(1 - 2 d)) / 2.
- `signals`: three kinds of signal on the same pairs, with rates of their own: with c_AB = 1 - 2 d_AB,
  (1 - 2 e_A)^2 = c_AB c_AC / c_BC (Dawid and Skene 1979, solved for two classes and three witnesses).
- `honeypots`: pairs whose truth is known.

That they differ is itself news: `repeated` below `margins` means that people agree on what the model cannot see,
`repeated` far below `honeypots` that they agree on what is wrong (a ring, or a habit they share).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from reward_model.judgments import Judgments
from reward_model.noise import NoiseEstimate, estimate_flip_rate
from reward_model.rater_noise import RaterFit, fit_raters

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS = 15
"""Rounds of a refit that starts from the fit on everything."""


@dataclass(frozen=True)
class ResidualNoise:
    """`overall` and `by_source`: the mean chance that a record is wrong, as records weigh (0 to 1), 95 % intervals;
    `by_method`: the same by each other way the data allow."""

    overall: NoiseEstimate
    by_source: Mapping[str, NoiseEstimate]
    by_method: Mapping[str, NoiseEstimate] = field(default_factory=dict)


def estimate(
    judgments: Judgments,
    groups: Ints,
    *,
    margins: Array | None = None,
    lengths: Array | None = None,
    known: Array | None = None,
    weights: Array | None = None,
    draws: int = 40,
    seed: int = 0,
) -> ResidualNoise:
    """Residual noise of the judgments; groups, margins, lengths, known [U] as in `fit_raters`, weights [M] the records'
    trust. `draws` resamples of whole groups make the intervals of the joint fit."""
    raters = fit_raters(judgments, margins=margins, lengths=lengths, known=known)
    made = rate_intervals(
        judgments, raters, groups, lengths=lengths, known=known, weights=weights, draws=draws, seed=seed
    )
    return replace(made, by_method=_other_ways(judgments, groups, margins, known, draws, seed))


def rate_intervals(
    judgments: Judgments,
    raters: RaterFit,
    groups: Ints,
    *,
    lengths: Array | None = None,
    known: Array | None = None,
    weights: Array | None = None,
    draws: int = 40,
    seed: int = 0,
) -> ResidualNoise:
    """What `raters` says of the mean rate, with percentile intervals from refits on resampled groups of pairs [U]."""
    v = np.ones(judgments.count) if weights is None else weights
    found = _rates(judgments, raters.wrong, v)
    rng = np.random.default_rng(seed)
    names, index = np.unique(groups, return_inverse=True)
    samples = []
    for _ in range(draws):
        counts = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)))[index.reshape(-1)]
        again, rows, pairs = _copies(judgments, counts)
        refit = fit_raters(
            again,
            margins=raters.prior[pairs],
            lengths=None if lengths is None or raters.habit == 0.0 else lengths[pairs],
            known=None if known is None else known[pairs],
            start=raters,
            rounds=_ROUNDS,
        )
        samples.append(_rates(again, refit.wrong, v[rows]))
    made = [_with_interval(rate, np.array([s[i] for s in samples]), raters.scale[0]) for i, rate in enumerate(found)]
    return ResidualNoise(made[0], dict(zip(judgments.source_names, made[1:], strict=True)))


def from_repeated(judgments: Judgments, groups: Ints, *, draws: int = 200, seed: int = 0) -> NoiseEstimate | None:
    """e from disagreement between hard records of different judges on one pair; None where no pair has two.

    Assumes one rate for all and independent errors. At d >= 1/2 the rate is 1/2: the records agree as coins do.
    """
    disagree, couples = _disagreements(judgments)
    if not couples.sum():
        return None
    rates = _resampled(groups, disagree, couples, draws, seed)
    return _with_interval(_halved(disagree.sum() / couples.sum()), _halved(rates), 1.0)


def from_three_signals(disagreements: tuple[float, float, float]) -> tuple[float, float, float]:
    """(e_A, e_B, e_C) from the disagreement rates (d_AB, d_AC, d_BC) of three signals on the same pairs.

    Each in [0, 1/2): what independent witnesses that are better than coins must have. Raises ValueError otherwise.
    """
    agree_ab, agree_ac, agree_bc = (1.0 - 2.0 * d for d in disagreements)
    if min(agree_ab, agree_ac, agree_bc) <= 0.0:
        raise ValueError(f"disagreements are {disagreements}; each must be below 1/2 for three witnesses to be solved")

    def rate(one: float, two: float, opposite: float) -> float:
        return 0.5 * (1.0 - min(float(np.sqrt(one * two / opposite)), 1.0))

    return (
        rate(agree_ab, agree_ac, agree_bc),
        rate(agree_ab, agree_bc, agree_ac),
        rate(agree_ac, agree_bc, agree_ab),
    )


def from_honeypots(judgments: Judgments, known: Array) -> NoiseEstimate | None:
    """e on pairs whose truth is `known` [U] (1, -1; 0 where not): wrong / asked, with Jeffreys' interval."""
    truth = known[judgments.pair]
    asked = truth != 0.0
    if not asked.any():
        return None
    wrong = float(np.where(truth > 0, 1.0 - judgments.says, judgments.says)[asked].sum())
    count = float(asked.sum())
    low, high = beta.ppf([0.025, 0.975], wrong + 0.5, count - wrong + 0.5)
    return NoiseEstimate(wrong / count, (float(low), float(high)), 1.0)


def _other_ways(
    judgments: Judgments, groups: Ints, margins: Array | None, known: Array | None, draws: int, seed: int
) -> dict[str, NoiseEstimate]:
    found: dict[str, NoiseEstimate | None] = {"repeated": from_repeated(judgments, groups, draws=draws, seed=seed)}
    if margins is not None:
        recorded = np.where(judgments.says < 0.5, -1.0, 1.0) * margins[judgments.pair]
        decided = np.abs(2.0 * judgments.says - 1.0) * judgments.weight
        found["margins"] = estimate_flip_rate(recorded, decided)
    if known is not None:
        found["honeypots"] = from_honeypots(judgments, known)
    return {name: one for name, one in found.items() if one is not None}


def _disagreements(judgments: Judgments) -> tuple[Array, Array]:
    """By pair [U]: couples of hard records that disagree, and all couples of hard records."""
    hard = np.abs(judgments.says - 0.5) == 0.5
    votes = np.bincount(judgments.pair[hard], minlength=judgments.pairs).astype(np.float64)
    ahead = np.bincount(judgments.pair[hard], judgments.says[hard], judgments.pairs)
    return np.asarray(ahead * (votes - ahead)), np.asarray(votes * (votes - 1.0) / 2.0)


def _resampled(groups: Ints, part: Array, whole: Array, draws: int, seed: int) -> Array:
    """sum part / sum whole in `draws` resamples of whole groups; draws without any of `whole` are left out."""
    _, index = np.unique(groups, return_inverse=True)
    parts, wholes = np.bincount(index.reshape(-1), part), np.bincount(index.reshape(-1), whole)
    counts = np.random.default_rng(seed).multinomial(len(parts), np.full(len(parts), 1.0 / len(parts)), draws)
    below = counts @ wholes
    return np.asarray((counts @ parts)[below > 0] / below[below > 0])


def _halved(disagreement: Array | float) -> Array:
    return np.asarray(0.5 * (1.0 - np.sqrt(np.maximum(1.0 - 2.0 * np.asarray(disagreement), 0.0))))


def _copies(judgments: Judgments, counts: Ints) -> tuple[Judgments, Ints, Ints]:
    """Judgments of each pair as often as `counts` [U] says, each copy a pair of its own; the rows and the pairs they
    were copied from."""
    pairs = np.repeat(np.arange(judgments.pairs), counts)
    rows = [np.flatnonzero(counts[judgments.pair] > copy) for copy in range(int(counts.max()))]
    begin = np.cumsum(counts) - counts
    numbers = [begin[judgments.pair[found]] + copy for copy, found in enumerate(rows)]
    taken = np.concatenate(rows)
    made = replace(
        judgments,
        pair=np.concatenate(numbers),
        says=judgments.says[taken],
        judge=judgments.judge[taken],
        weight=judgments.weight[taken],
        pairs=len(pairs),
    )
    return made, taken, pairs


def _rates(judgments: Judgments, wrong: Array, weights: Array) -> list[float]:
    """The weighted mean overall, then by source; 0 where a source has no record (a resample may miss it)."""
    source = judgments.source[judgments.judge]
    size = len(judgments.source_names)
    above, below = np.bincount(source, wrong * weights, size), np.bincount(source, weights, size)
    overall = above.sum() / max(float(below.sum()), 1e-300)
    return [float(overall), *(above / np.maximum(below, 1e-300)).tolist()]


def _with_interval(rate: Array | float, samples: Array, scale: float) -> NoiseEstimate:
    low, high = np.quantile(samples, [0.025, 0.975]) if len(samples) else (0.0, 1.0)
    return NoiseEstimate(float(rate), (min(float(low), float(rate)), max(float(high), float(rate))), scale)
