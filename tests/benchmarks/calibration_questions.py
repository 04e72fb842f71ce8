"""What the draw of the questions does to a calibration error. Sentiment of one seed, against known truth.

Every question adds an offset of its own to the log-odds of all answers to it, which no text shows. A hold-out has few
questions, so their mean offset, bin by bin, is not 0: is that read as miscalibration?
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_model.calibration import sigmoid
from reward_model.calibration_bins import ReliabilityDiagram, reliability_diagram
from tests.benchmarks.calibration_heads import HELD_OUT_PEOPLE, Seed
from tests.benchmarks.calibration_population import STRENGTH, Log, World, make_crowd, visit
from tests.benchmarks.calibration_texts import Stock

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

OBJECTIVE = "sentiment"
REDRAWS = 50
FEW = (20, 40, 80)
"""Questions of the smaller hold-outs."""
_DRAWS = 200
_OFFSET = 0.3
"""Standard deviation of a question's offset, in appeal, as `make_world` draws it."""


@dataclass(frozen=True)
class QuestionResult:
    """Debiased squared errors, (by person alone, both ways). `few[n]`: means over hold-outs of n of the questions,
    `questions` of all; `redrawn[who]` [REDRAWS, 2]: the offsets of the same questions drawn anew, for the head and for
    an oracle that knows everything but the offsets; `truth[who]`: the squared error over all offsets, on these texts
    (nothing is drawn), and, without what the draw of these texts adds to it, on those of any question."""

    questions: int
    few: dict[int, tuple[float, float]]
    redrawn: dict[str, Array]
    truth: dict[str, tuple[float, float]]


def question_results(seed: Seed) -> QuestionResult:
    """Few questions of the real hold-out, and other offsets for all of them."""
    rng = np.random.default_rng([seed.seed, 7])
    held = seed.visited(seed.world.base, seed.kept_away, HELD_OUT_PEOPLE)
    head = seed.head(OBJECTIVE).probabilities
    few = {}
    for count in FEW:
        some = (rng.choice(seed.kept_away, count, replace=False) for _ in range(_DRAWS))
        one, two = np.mean([_squares(_of(held, seed.stock, questions), head, seed.stock) for questions in some], 0)
        few[count] = float(one), float(two)
    few[len(seed.kept_away)] = _squares(held, head, seed.stock)
    rows = np.flatnonzero(np.isin(seed.stock.prompt, seed.kept_away))
    said = {"head": head, "oracle": over_offsets(seed.world, rows, rng)}
    redrawn: dict[str, list[tuple[float, float]]] = {who: [] for who in said}
    for _ in range(REDRAWS):
        other = with_other_offsets(seed.world, seed.stock, rng)
        log = visit(other, seed.stock, other.base, seed.kept_away, HELD_OUT_PEOPLE, seed.size.answers, rng)
        for who, probabilities in said.items():
            redrawn[who].append(_squares(log, probabilities, seed.stock))
    truth = {
        who: _true_squares(said["oracle"][rows], p[rows], seed.world.base[rows], seed.stock.prompt[rows])
        for who, p in said.items()
    }
    return QuestionResult(len(seed.kept_away), few, {who: np.array(found) for who, found in redrawn.items()}, truth)


def with_other_offsets(world: World, stock: Stock, rng: np.random.Generator) -> World:
    """The same texts and traits, and new offsets of all questions."""
    offsets = rng.normal(0, _OFFSET, len(stock.questions))[stock.prompt]
    return dataclasses.replace(world, appeal=world.style + world.unseen + offsets)


def over_offsets(world: World, rows: Ints, rng: np.random.Generator, nodes: int = 9) -> Array:
    """P(like | voted) [I] of the texts `rows`, NaN elsewhere, in the mean over offsets (Gauss-Hermite) and people."""
    crowd, found = make_crowd(HELD_OUT_PEOPLE, rng), np.full(len(world.style), np.nan)
    votes = sigmoid(crowd.voice) / sigmoid(crowd.voice).sum()
    places, shares = np.polynomial.hermite_e.hermegauss(nodes)
    for row in rows.tolist():
        taste = (crowd.taste_warmth - 1) * world.warmth[row] + (crowd.taste_use - 1) * world.use[row]
        known = crowd.generosity + STRENGTH * (world.style[row] + world.unseen[row] + taste)
        likes = sigmoid(known[:, None] + STRENGTH * _OFFSET * places) @ (shares / shares.sum())
        found[row] = votes @ likes
    return found


def _true_squares(truth: Array, probabilities: Array, mass: Array, questions: Ints) -> tuple[float, float]:
    """Binned squared error against known probabilities: of these questions, and debiased for their draw."""
    found = reliability_diagram(np.clip(truth, 0, 1), np.clip(probabilities, 0, 1), mass, questions)
    return float(found.share @ found.gap**2), float(found.share @ (found.gap**2 - found.variance))


def _of(log: Log, stock: Stock, questions: Ints) -> Log:
    """The part of a log that is about `questions`."""
    rows = np.isin(stock.prompt[log.item], questions)
    targets = {name: values[rows] for name, values in log.targets.items()}
    return Log(log.item[rows], log.person[rows], targets, log.opinion[rows], log.voting[rows])


def _squares(log: Log, probabilities: Array, stock: Stock) -> tuple[float, float]:
    """Debiased squared error by person alone, and both ways; may be below 0."""
    kept = ~np.isnan(log.targets[OBJECTIVE])
    y, item, person = log.targets[OBJECTIVE][kept], log.item[kept], log.person[kept]
    p = np.clip(probabilities[item], 0, 1)

    def square(found: ReliabilityDiagram) -> float:
        return float(found.share @ (found.gap**2 - found.variance))

    one, two = (
        reliability_diagram(y, p, np.ones(len(y)), person, questions=questions)
        for questions in (None, stock.prompt[item])
    )
    return square(one), square(two)
