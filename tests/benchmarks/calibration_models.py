"""Heads trained on the base policy's log, calibrated as the product does it, and what they predict of a policy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.calibration import Calibration, choose_calibration
from reward_model.heads import fit_utility
from reward_model.objective_head import FitOptions, fit_objective
from reward_model.offline_online import Rate, predicted_rate
from reward_model.subspace import Standardizer, principal_basis
from reward_model.weights import discount_repeats
from tests.benchmarks.calibration_population import Log, World, answers_of
from tests.benchmarks.calibration_texts import Stock

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

COMPONENTS = 400
GRID = (0.00003, 0.0001, 0.0003, 0.001)
SPREADS = RewardModelSettings().group_spreads
BETWEEN = RewardModelSettings().between_groups
ANSWERS_PER_PROMPT = 8


@dataclass(frozen=True)
class Head:
    """`logits` [I] of every text, not calibrated; the calibration; out-of-fold logits `unseen`, mean targets `mean` and
    weights `mass` [T] of the texts trained on; `rate`: weighted share of positives; penalty and spread as chosen."""

    logits: Array
    calibration: Calibration
    unseen: Array
    mean: Array
    mass: Array
    rate: float
    l2: float
    spread: float

    @property
    def probabilities(self) -> Array:
        """[I]."""
        return self.calibration.apply(self.logits)


def subspace(features: Tensor, stock: Stock, prompts: Ints) -> Tensor:
    """[I, R] float64: standardised and reduced as training does, by the texts of the training questions alone."""
    rows = torch.from_numpy(np.isin(stock.prompt, prompts))
    x = Standardizer.of(features[rows]).apply(features)
    return x.double() @ principal_basis(x[rows], COMPONENTS)


def fit_head(
    reduced: Tensor, stock: Stock, item: Ints, targets: Array, weights: Array, *, seed: int, calibration: bool = True
) -> Head:
    """Head on the rows [N] whose target is not missing, folds and calibration grouped by question.

    As in training, labels of one text count less than labels of different ones. Rows of a text are summed first: the
    cross-entropy, and so every fit and its clustered errors, is the same.
    """
    kept = ~np.isnan(targets)
    item, y, w = item[kept], targets[kept], weights[kept]
    names, place = np.unique(item, return_inverse=True)
    mass = np.asarray(np.bincount(place, w), np.float64)
    mean = np.clip(np.bincount(place, w * y) / mass, 0.0, 1.0)
    options = FitOptions(GRID, 5, 0, seed, SPREADS, BETWEEN)
    x, groups = reduced[torch.from_numpy(names)], stock.prompt[names]
    counts = np.bincount(place)
    worth = discount_repeats(counts, RewardModelSettings().repeat_correlation)
    fitted = fit_objective(x, mean, mass * worth, groups, options, labels=float(counts @ worth))
    parameters = fitted.parameters[0]
    logits = (reduced @ parameters[:-1] + parameters[-1]).numpy()
    chosen = choose_calibration(fitted.out_of_fold, mean, mass * worth, groups=groups, seed=seed).calibration
    rate = float(np.average(mean, weights=mass))
    return Head(
        logits,
        chosen if calibration else Calibration(),
        fitted.out_of_fold,
        mean,
        mass * worth,
        rate,
        fitted.l2,
        fitted.spread,
    )


def fit_love(reduced: Tensor, stock: Stock, log: Log, *, seed: int, objective: str = "love") -> Head:
    """The head of one objective from a log, every row weighing 1."""
    return fit_head(reduced, stock, log.item, log.targets[objective], np.ones(len(log.item)), seed=seed)


def fit_utilities(reduced: Tensor, stock: Stock, world: World, judges: int, rng: np.random.Generator) -> Array:
    """Utilities [I] from `judges` duels of two texts to one question by plain Bradley-Terry, the penalty fixed."""
    starts = np.searchsorted(stock.prompt, np.arange(len(stock.questions) + 1))
    asked = rng.integers(0, len(stock.questions), judges)
    first, second = (rng.integers(starts[asked], starts[asked + 1]) for _ in range(2))
    wins = rng.random(judges) < 1 / (1 + np.exp(-(world.appeal[first] - world.appeal[second])))
    preferred, other = np.where(wins, first, second), np.where(wins, second, first)
    weights = fit_utility(reduced[preferred] - reduced[other], torch.ones(judges).double(), 0.0001)
    return np.asarray((reduced @ weights).numpy())


def predict(probabilities: Array, policy: Array, stock: Stock, prompts: Ints, rng: np.random.Generator) -> Rate:
    """The rate that a head predicts of a policy on fixed questions, from `ANSWERS_PER_PROMPT` answers to each."""
    asked = np.repeat(prompts, ANSWERS_PER_PROMPT)
    return predicted_rate(probabilities[answers_of(policy, stock, asked, rng)], asked)


def halves(questions: int, rng: np.random.Generator, share: float = 0.6) -> tuple[Ints, Ints]:
    """Questions to train on and questions kept away."""
    order = rng.permutation(questions)
    return np.sort(order[: int(share * questions)]), np.sort(order[int(share * questions) :])


def joined(logs: Sequence[Log], objective: str) -> tuple[Ints, Array, Ints]:
    """Items, targets and people of several logs, people told apart."""
    offsets = np.cumsum([0, *(int(log.person.max()) + 1 for log in logs)])
    return (
        np.concatenate([log.item for log in logs]),
        np.concatenate([log.targets[objective] for log in logs]),
        np.concatenate([log.person + offset for log, offset in zip(logs, offsets, strict=False)]),
    )
