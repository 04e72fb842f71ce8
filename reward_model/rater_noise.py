"""How often each judge errs, and what the judgments of a pair say together about its truth. Pure numpy.

The model. Pair u has a truth t = +1 (its first text is better) with log-odds

    log P(t = +1) / P(t = -1) = a m_u + c x_u,

m_u the margin of a reward model that has not seen u (less what length explains of it), x_u = tanh(1.5 d_u / rms(d)) its
habit: d_u is how much longer the first text is. Judge k errs with probability r_k where habit is silent; half of an
unreliable judge's errors come from not reading, so that with h = s(-b t x_u), the chance that habit points at the wrong
text,

    P(record wrong | t) = 2 r_k h                         r_k <= 1/2: a share 2 r_k by habit, the rest by the truth
                        = 1 - 2 (1 - r_k) (1 - h)         r_k > 1/2: a share 2 (1 - r_k) by habit, the rest against it

A habit is believed in only where it explains the records clearly better than none.
Given t, the records of a pair are independent; this joint likelihood, not one record at a time, is what repetition pays
for (Dawid and Skene 1979; Raykar et al., JMLR 2010; RE-PO, arXiv 2509.24159). Rates r_k come from a distribution on a
grid, one for each source, estimated by the data (non-parametric empirical Bayes, Kiefer and Wolfowitz 1956): where all
err alike it shrinks to a point, where a few accounts lie it has two humps.

The fit. Belief propagation between pairs and judges (Liu, Peng and Ihler, NeurIPS 2012): the message of a record leaves
itself out, so nobody's reliability is judged by his own vote and no pair's truth by what it taught about its judges.
Between rounds the grid's weights take an EM step, b, a and c a scoring step. For records of unknown author a judge is
one record, and only the mean rate of each source is learned.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logsumexp

from reward_model.judgments import Judgments
from reward_model.rater_likelihood import GRID, Likelihood, habit_of, likelihood_of

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_HABIT_PRECISION = 0.25
"""Prior precision of b: N(0, 2^2)."""
_PRIOR_PRECISION = np.array([1e-3, 30.0])
"""Prior precisions of a and c: a margin is free, a taste for length beyond what the margins show is not."""
_FIRST_RATE = 0.25
_SURE = 12.0
"""Log-odds of a pair whose truth is known."""
_STRONGER = 2.0
"""Nats of evidence that a habit must bring to be believed in: a spurious one tilts every pair by its length."""


@dataclass(frozen=True)
class RaterFit:
    """What was learned. U pairs, M judgments, K judges, G rates of `grid`.

    log_odds [U]: what the records say about t = +1, without the prior; prior [U]: the model's part; wrong [M]: the
    probability that a record is wrong given everything; posterior [K, G] over the rates of each judge; population
    [S, G] by source; habit b; scale (a, c). `log_evidence`, nats: Bethe's approximation of the log-probability of all
    records under these parameters, by which fits with other margins compare.
    """

    log_odds: Array
    prior: Array
    wrong: Array
    posterior: Array
    population: Array
    habit: float
    scale: tuple[float, float]
    grid: Array
    rounds: int
    log_evidence: float

    @property
    def rates(self) -> Array:
        """Posterior mean error rate [K] of each judge."""
        return np.asarray(self.posterior @ self.grid)

    @property
    def pair_flip_rate(self) -> Array:
        """[U] in [0, 1/2]: the chance that the side the records favour is the wrong one; 1/2 where they say nothing."""
        return np.asarray(expit(-np.abs(self.log_odds)))

    @property
    def direction(self) -> Array:
        """[U]: 1 where the records favour the pair's first text, else -1."""
        return np.where(self.log_odds < 0.0, -1.0, 1.0)


@dataclass(frozen=True)
class _World:
    """What stands still: margins and habits [U] (zero where the truth is known), sure log-odds [U], what is fitted."""

    margins: Array
    habits: Array
    sure: Array
    fits_habit: bool
    fits_margins: bool


@dataclass(frozen=True)
class _View:
    """One round's expectations: `odds` [U] of the prior, `truth` [M, 1] = P(t = +1 | all but this record), `evidence`
    [M, G], `posterior` [K, G], `share` [M, G] = P(r | all but this record) / P(this record), which is `normalizer` [M];
    `judged` is the log-normaliser of all posteriors."""

    odds: Array
    truth: Array
    likelihood: Likelihood
    posterior: Array
    share: Array
    normalizer: Array
    judged: float


@dataclass
class _State:
    """What the rounds change. Messages are by judgment [M]."""

    message: Array
    population: Array
    habit: float
    scale: Array


def fit_raters(
    judgments: Judgments,
    *,
    margins: Array | None = None,
    lengths: Array | None = None,
    known: Array | None = None,
    start: RaterFit | None = None,
    rounds: int = 60,
    tolerance: float = 0.005,
) -> RaterFit:
    """Fit the model above to the judgments.

    margins [U]: out-of-fold margins of the pairs' first texts over their second (None: nobody knows better); lengths
    [U]: the difference in log-length of the same (None: no habit is fitted); known [U]: 1 or -1 where the truth is
    known (honeypots), 0 elsewhere. `start`: an earlier fit of the same judges, to go on from. Ends when no message or
    parameter moves by more than `tolerance`, or after `rounds`.
    """
    world = _world(judgments, margins, lengths, known)
    straight = _fitted(judgments, replace(world, fits_habit=False), start, rounds, tolerance)
    if lengths is None:
        return straight
    leaning = _fitted(judgments, world, start, rounds, tolerance)
    penalty = 0.5 * _HABIT_PRECISION * leaning.habit**2
    return leaning if leaning.log_evidence - penalty > straight.log_evidence + _STRONGER else straight


def _fitted(judgments: Judgments, world: _World, start: RaterFit | None, rounds: int, tolerance: float) -> RaterFit:
    """The rounds."""
    state = _begin(judgments, world.fits_margins, start)
    state.habit *= float(world.fits_habit)
    made, moved = 0, np.inf
    while made < rounds and (made < 9 or moved > tolerance):
        before = (state.message, state.habit)
        view = _view(judgments, world, state)
        _advance(judgments, world, view, state, made)
        moved = max(_largest(state.message - before[0]), abs(state.habit - before[1]))
        made += 1
    return _conclude(judgments, world, view, state, made)


def told_log_odds(judgments: Judgments, wrong_if_first: Array, wrong_if_second: Array) -> Array:
    """log_odds [U] of `RaterFit` for somebody who knows, for every judgment [M], how probable an error was had the
    first text been better, and had the second: the oracle a benchmark compares with."""
    y = judgments.says
    first = y * (1.0 - wrong_if_first) + (1.0 - y) * wrong_if_first
    second = y * wrong_if_second + (1.0 - y) * (1.0 - wrong_if_second)
    ratio = np.log(np.maximum(first, 1e-6)) - np.log(np.maximum(second, 1e-6))
    return _summed(judgments.pair, judgments.weight * ratio, judgments.pairs)


def _world(judgments: Judgments, margins: Array | None, lengths: Array | None, known: Array | None) -> _World:
    silent = np.zeros(judgments.pairs)
    asked = np.ones(judgments.pairs) if known is None else (known == 0.0).astype(np.float64)
    habits = silent if lengths is None else habit_of(lengths)
    return _World(
        silent if margins is None else _cleared(margins, habits) * asked,
        habits,
        silent if known is None else _SURE * known,
        lengths is not None,
        margins is not None,
    )


def _cleared(margins: Array, habits: Array) -> Array:
    """Margins without their projection on the habits: a model that learned from records with a habit has it too, and
    would vouch for it."""
    return np.asarray(margins - (margins @ habits) / max(float(habits @ habits), 1e-300) * habits)


def _begin(judgments: Judgments, with_margins: bool, start: RaterFit | None) -> _State:
    says = judgments.says * (1.0 - 2.0 * _FIRST_RATE) + _FIRST_RATE
    message = judgments.weight * (np.log(says) - np.log1p(-says))
    if start is not None:
        return _State(message, start.population, start.habit, np.array(start.scale))
    population = np.tile((1.0 - GRID) ** 3, (len(judgments.source_names), 1))
    population /= population.sum(1, keepdims=True)
    return _State(message, population, 0.0, np.array([1.0 if with_margins else 0.0, 0.0]))


def _view(judgments: Judgments, world: _World, state: _State) -> _View:
    odds = state.scale[0] * world.margins + state.scale[1] * world.habits + world.sure
    likelihood = likelihood_of(judgments, world.habits, state.habit)
    total = odds + _summed(judgments.pair, state.message, judgments.pairs)
    truth = expit(total[judgments.pair] - state.message)[:, None]
    evidence = truth * likelihood.first + (1.0 - truth) * likelihood.second
    posterior, judged = _judges(judgments, evidence, state.population)
    without = posterior[judgments.judge] / evidence
    without /= without.sum(1, keepdims=True)
    normalizer = (without * evidence).sum(1)
    return _View(odds, truth, likelihood, posterior, without / normalizer[:, None], normalizer, judged)


def _advance(judgments: Judgments, world: _World, view: _View, state: _State, made: int) -> None:
    """New messages, then the parameters' steps (the habit's after 2 rounds and the prior's after 5)."""
    first, second = (view.share * view.likelihood.first).sum(1), (view.share * view.likelihood.second).sum(1)
    state.message = np.log(first) - np.log(second)
    state.population = _populations(judgments, view.posterior)
    if world.fits_habit and made >= 2:
        state.habit += _habit_step(view, state.habit)
    if (world.fits_margins or world.habits.any()) and made >= 5:
        log_odds = _summed(judgments.pair, state.message, judgments.pairs)
        state.scale = _scale_step(world, view.odds, log_odds, state.scale)


def _conclude(judgments: Judgments, world: _World, view: _View, state: _State, made: int) -> RaterFit:
    likelihood = view.likelihood
    wrong = view.truth * likelihood.first_wrong + (1.0 - view.truth) * likelihood.second_wrong
    return RaterFit(
        _summed(judgments.pair, state.message, judgments.pairs),
        state.scale[0] * world.margins + state.scale[1] * world.habits + world.sure,
        np.asarray((view.share * wrong).sum(1)),
        view.posterior,
        state.population,
        float(state.habit),
        (float(state.scale[0]), float(state.scale[1])),
        GRID,
        made,
        _log_evidence(judgments, view),
    )


def _log_evidence(judgments: Judgments, view: _View) -> float:
    """Pairs + judges - records: each record's factor stands in its pair and in its judge (Yedidia et al. 2005)."""
    first, second = (view.share * view.likelihood.first).sum(1), (view.share * view.likelihood.second).sum(1)
    z = view.normalizer
    ahead = log_expit(view.odds) + _summed(judgments.pair, np.log(z * first), judgments.pairs)
    behind = log_expit(-view.odds) + _summed(judgments.pair, np.log(z * second), judgments.pairs)
    return float(np.logaddexp(ahead, behind).sum() + view.judged - np.log(z).sum())


def _judges(judgments: Judgments, evidence: Array, population: Array) -> tuple[Array, float]:
    """Posterior [K, G] over each judge's rate, and the sum of its log-normalisers."""
    logs = np.log(evidence)
    columns = [_summed(judgments.judge, logs[:, g], judgments.judges) for g in range(len(GRID))]
    total = np.stack(columns, 1) + np.log(population[judgments.source])
    normalizers = logsumexp(total, axis=1)
    return np.asarray(np.exp(total - normalizers[:, None])), float(normalizers.sum())


def _populations(judgments: Judgments, posterior: Array) -> Array:
    """EM's weights [S, G] of the grid; one judge's worth of the uniform keeps every rate possible."""
    active = np.bincount(judgments.judge, minlength=judgments.judges) > 0
    made = np.full((len(judgments.source_names), len(GRID)), 1.0 / len(GRID))
    np.add.at(made, judgments.source[active], posterior[active])
    return np.asarray(made / made.sum(1, keepdims=True))


def _habit_step(view: _View, habit: float) -> float:
    """A scoring step of b, from P(t, r | everything) and the slopes of the log-likelihood."""
    likelihood = view.likelihood
    one = view.share * view.truth * likelihood.first
    two = view.share * (1.0 - view.truth) * likelihood.second
    slope = float((one * likelihood.first_slope + two * likelihood.second_slope).sum()) - _HABIT_PRECISION * habit
    information = float((one * likelihood.first_slope**2 + two * likelihood.second_slope**2).sum())
    return float(np.clip(slope / (information + _HABIT_PRECISION), -1.0, 1.0))


def _scale_step(world: _World, odds: Array, log_odds: Array, scale: Array) -> Array:
    """A scoring step of (a, c) on the expected truths of pairs whose truth is not known; a >= 0."""
    asked = world.sure == 0.0
    rows = np.stack([world.margins, world.habits], 1)[asked]
    believed, expected = expit(odds + log_odds)[asked], expit(odds[asked])
    slope = rows.T @ (believed - expected) - _PRIOR_PRECISION * scale
    curvature = (rows * (expected * (1.0 - expected))[:, None]).T @ rows + np.diag(_PRIOR_PRECISION)
    moved = scale + np.clip(np.linalg.solve(curvature, slope), -1.0, 1.0)
    return np.array([max(moved[0], 0.0), moved[1]])


def _largest(values: Array) -> float:
    return float(np.abs(values).max()) if len(values) else 0.0


def _summed(index: Ints, values: Array, size: int) -> Array:
    return np.asarray(np.bincount(index, values, size), np.float64)
