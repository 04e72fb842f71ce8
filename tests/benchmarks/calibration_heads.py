"""Measured on one seed: calibration of every head on unseen questions and people, class balance, anchors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reward_model.anchors import choose_anchors, drift, pin_scale, pinned_drift
from reward_model.calibration import KINDS, sigmoid
from reward_model.calibration_bins import reliability_diagram
from reward_model.calibration_error import CalibrationReport, calibration_p_value, calibration_report, debiased_error
from tests.benchmarks.calibration_models import Head, fit_head, fit_love, fit_utilities, halves, joined, subspace
from tests.benchmarks.calibration_population import OBJECTIVES, Log, World, make_world, visit
from tests.benchmarks.calibration_texts import Stock

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

HELD_OUT_PEOPLE = 3000
DUELS = (8000, 16000)
"""Pairs behind the two utilities."""
SMALL = 1000
"""Labels of the small hold-out, on which the test decides."""


@dataclass(frozen=True)
class Size:
    """People in the log and answers each; people in each arm of a trial and answers each."""

    people: int = 50_000
    answers: int = 10
    trial_people: int = 6000
    trial_answers: int = 5


@dataclass(frozen=True)
class Split:
    """Questions to train on, questions kept away, and the features [I, R] reduced by the former's texts."""

    trained_on: Ints
    kept_away: Ints
    reduced: Tensor

    @classmethod
    def of(cls, number: int, stock: Stock, features: Tensor) -> "Split":
        """Split `number`; few are made, since the reduction is what takes time."""
        trained_on, kept_away = halves(len(stock.questions), np.random.default_rng(number))
        return cls(trained_on, kept_away, subspace(features, stock, trained_on))


class Seed:
    """One world: hidden traits of the texts, people, the base policy's log; heads are made on demand."""

    def __init__(self, seed: int, stock: Stock, split: Split, size: Size) -> None:
        self.seed, self.stock, self.size = seed, stock, size
        self.rng = np.random.default_rng(seed)
        self.world: World = make_world(stock, self.rng)
        self.trained_on, self.kept_away, self.reduced = split.trained_on, split.kept_away, split.reduced
        self._heads: dict[str, Head] = {}
        self.log = self.visited(self.world.base, self.trained_on, size.people)

    @property
    def love(self) -> Head:
        """The head of love."""
        return self.head("love")

    def head(self, objective: str) -> Head:
        """The head of an objective, learned from the log; made once."""
        if objective not in self._heads:
            self._heads[objective] = fit_love(self.reduced, self.stock, self.log, seed=self.seed, objective=objective)
        return self._heads[objective]

    def visited(self, policy: Array, prompts: Ints, people: int, opinion_odds: float = 1.0) -> Log:
        """New people, the log's number of answers each."""
        return visit(
            self.world, self.stock, policy, prompts, people, self.size.answers, self.rng, opinion_odds=opinion_odds
        )


@dataclass(frozen=True)
class HeadResult:
    """One head of one seed: the report on its hold-out; debiased errors of each kind of calibration and of none;
    p-values of small hold-outs, and those by person alone."""

    objective: str
    kind: str
    report: CalibrationReport
    errors: dict[str, float]
    small: tuple[float, ...]
    small_by_person: tuple[float, ...]


def head_results(seed: Seed) -> list[HeadResult]:
    """All objectives; the hold-out has new people, questions nobody trained on, and the base policy."""
    held = seed.visited(seed.world.base, seed.kept_away, HELD_OUT_PEOPLE)
    return [_head_result(seed, held, objective) for objective in OBJECTIVES]


def _head_result(seed: Seed, held: Log, objective: str) -> HeadResult:
    head = seed.head(objective)
    kept = ~np.isnan(held.targets[objective])
    y, item, person = held.targets[objective][kept], held.item[kept], held.person[kept]
    weights, questions = np.ones(len(y)), seed.stock.prompt[item]
    p = head.probabilities[item]
    report = calibration_report(y, p, weights, person, questions=questions, base_rate=head.rate, seed=seed.seed)
    fitted = {kind: fit(head.unseen, head.mean, head.mass) for kind, fit in KINDS.items()}
    tried = {"none": sigmoid(head.logits)} | {kind: one.apply(head.logits) for kind, one in fitted.items()}
    errors = {
        kind: debiased_error(reliability_diagram(y, said[item], weights, person, questions=questions))
        for kind, said in tried.items()
    }
    small: list[tuple[float, ...]] = []
    for start in range(0, min(len(y), 5 * SMALL) - SMALL + 1, SMALL):
        part = slice(start, start + SMALL)
        values = (
            calibration_p_value(y[part], p[part], weights[part], person[part], questions=codes, resamples=500)
            for codes in (questions[part], None)
        )
        small.append(tuple(1.0 if value is None else value for value in values))
    both, alone = zip(*small, strict=True)
    return HeadResult(objective, head.calibration.kind, report, errors, both, alone)


def balance(seed: Seed) -> tuple[float, float, float]:
    """Love trained with negatives thinned to the positives' number: debiased error (by person) as trained, corrected by
    `at_base_rate`, and of the head trained on everything."""
    love = seed.log.targets["love"]
    kept = (love == 1) | (seed.rng.random(len(love)) < love.mean() / (1 - love.mean()))
    head = fit_head(seed.reduced, seed.stock, seed.log.item[kept], love[kept], np.ones(int(kept.sum())), seed=seed.seed)
    corrected = head.calibration.at_base_rate(head.rate, float(love.mean()))
    held = seed.visited(seed.world.base, seed.kept_away, HELD_OUT_PEOPLE)

    def error(probabilities: Array) -> float:
        rows = held.targets["love"], probabilities[held.item], np.ones(len(held.item)), held.person
        return debiased_error(reliability_diagram(*rows))

    return error(head.probabilities), error(corrected.apply(head.logits)), error(seed.love.probabilities)


@dataclass(frozen=True)
class AnchorResult:
    """`heads[retraining][objective]`: scale drift of a probability head; `raw` and `pinned` scale drift of the utility
    before its pin and after it, on anchors the pin has not seen; `on_pin`: on the anchors of the pin."""

    heads: dict[str, dict[str, float]]
    raw: float
    pinned: float
    on_pin: float
    anchors: int


def anchor_results(seed: Seed, counts: Sequence[int]) -> list[AnchorResult]:
    """Two retrainings, for anchor sets of several sizes: a week later (a quarter of the log replaced), and on other
    people altogether."""
    other = seed.visited(seed.world.base, seed.trained_on, seed.size.people)
    old: dict[str, Array] = {}
    new: dict[str, dict[str, Array]] = {"a week later": {}, "other people": {}}
    for objective in OBJECTIVES:
        old[objective] = seed.head(objective).probabilities
        new["a week later"][objective] = _a_week_later(seed, other, objective).probabilities
        fresh = fit_love(seed.reduced, seed.stock, other, seed=seed.seed, objective=objective)
        new["other people"][objective] = fresh.probabilities
    first, second = (fit_utilities(seed.reduced, seed.stock, seed.world, n, seed.rng) for n in DUELS)
    content = {(f"t{i:05}", 0): text for i, text in enumerate(seed.stock.texts)}
    results = []
    for count in counts:
        chosen = choose_anchors(content, seed.love.logits, count=count)
        rows = np.array([int(key[0][1:]) for key in chosen.keys])
        moved = {
            name: {objective: drift(p[rows], old[objective][rows]).scale for objective, p in heads.items()}
            for name, heads in new.items()
        }
        u, v, unit = first[rows], second[rows], float(np.std(first[rows]))
        on_pin = drift(pin_scale(v, u).apply(v), u, unit=unit).scale
        raw, pinned = drift(v, u, unit=unit).scale, pinned_drift(v, u).scale
        results.append(AnchorResult(moved, raw, pinned, on_pin, len(rows)))
    return results


def _a_week_later(seed: Seed, other: Log, objective: str) -> Head:
    """Three quarters of the first log and a quarter of the other's."""
    items, targets, _ = joined((seed.log, other), objective)
    quarter = np.arange(len(other.item)) < len(other.item) // 4
    kept = np.concatenate([~quarter, quarter])
    return fit_head(seed.reduced, seed.stock, items[kept], targets[kept], np.ones(int(kept.sum())), seed=seed.seed)
