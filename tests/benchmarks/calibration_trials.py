"""Measured on one seed: predicted against realised rates over candidates, with silence and with shift."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_model.offline_online import OfflineOnline, Point, Rate, offline_online, realised_rate
from reward_model.offline_online_service import contrasted
from tests.benchmarks.calibration_heads import Seed
from tests.benchmarks.calibration_models import Head, fit_head, fit_love, predict
from tests.benchmarks.calibration_population import Log, candidate_policies, unforeseeable_policies, visit
from tests.benchmarks.calibration_texts import MANNERS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

LEARNING = (20_000, 100_000)
FAR = {"gushing": 0.6, "steps": 0.6, "refusal": 0.4}
"""Manner -> share of a candidate's answers given in it; the rest is as the base policy answers."""


@dataclass(frozen=True)
class FarPoint:
    """A candidate unlike anything in the log: predicted, realised, and what the line of the others expects of it."""

    name: str
    predicted: float
    realised: float
    low: float
    high: float


@dataclass(frozen=True)
class TrialResult:
    """Candidates of one seed. `everything`: the report with awful candidates kept; `unforeseeable`: of candidates that
    are better in what no text shows; `by_labels`: with less feedback to learn from; `shifted`: people who ask other
    questions than those of the fixed set, by name; `far`; `contrast` of the head, which all its predictions have."""

    main: OfflineOnline
    everything: OfflineOnline
    unforeseeable: OfflineOnline
    by_labels: dict[int, OfflineOnline]
    shifted: dict[str, OfflineOnline]
    far: tuple[FarPoint, ...]
    contrast: float = 1.0


@dataclass(frozen=True)
class SilenceResult:
    """`opinion[case]`: predicted sentiment against what everybody thinks, voters or not, over candidates; `bias[case]`:
    mean of predicted minus true; `love`: love where likers vote more."""

    opinion: dict[str, OfflineOnline]
    bias: dict[str, float]
    love: OfflineOnline


def trial_results(seed: Seed) -> TrialResult:
    """Predicted on fixed questions nobody trained on, realised by new people on all questions."""
    policies = candidate_policies(seed.world, seed.stock, seed.love.logits, seed.rng)
    everywhere = np.arange(len(seed.stock.questions))
    dialogues = everywhere[everywhere >= seed.stock.factual]
    realised = realised_rates(seed, policies, everywhere)
    order = np.random.default_rng(seed.seed).permutation(len(policies))
    predicted = _points(seed, seed.love, policies, seed.kept_away, realised)
    points = [predicted[place] for place in order]
    main = offline_online(points)
    talk = realised_rates(seed, policies, dialogues)
    factual = seed.trained_on[seed.trained_on < seed.stock.factual]
    narrow = fit_love(seed.reduced, seed.stock, _of_questions(seed, factual), seed=seed.seed)
    fixed_talk = np.intersect1d(seed.kept_away, dialogues)
    shifted = {
        "people ask dialogues only": _points(seed, seed.love, policies, seed.kept_away, talk),
        "... and so does the fixed set": _points(seed, seed.love, policies, fixed_talk, talk),
        "trained on factual questions only": _points(seed, narrow, policies, fixed_talk, talk),
    }
    return TrialResult(
        main=main,
        everything=offline_online(points, awful=0.0),
        unforeseeable=_unforeseeable(seed),
        by_labels={
            n: offline_online(_points(seed, _less(seed, n), policies, seed.kept_away, realised)) for n in LEARNING
        },
        shifted={name: offline_online(found) for name, found in shifted.items()},
        far=_far(seed, main),
        contrast=seed.love.calibration.contrast,
    )


def silence_results(seed: Seed) -> SilenceResult:
    """Half of the people are on a phone: they like more and vote more. Weights are the inverse of the true chance of a
    vote on their device; where likers have three times the odds of voting no weight made of covariates can help."""
    policies = candidate_policies(seed.world, seed.stock, seed.love.logits, seed.rng)
    everywhere = np.arange(len(seed.stock.questions))
    candid = seed.visited(seed.world.base, seed.trained_on, seed.size.people, opinion_odds=3.0)
    realised = realised_rates(seed, policies, everywhere, truth=True)
    cases = {
        "silence by device, not weighted": (seed.log, False),
        "silence by device, inverse propensity weights": (seed.log, True),
        "silence by opinion too, inverse propensity weights": (candid, True),
    }
    opinion, bias = {}, {}
    for name, (log, weighted) in cases.items():
        weights = 1.0 / log.voting if weighted else np.ones(len(log.item))
        head = fit_head(seed.reduced, seed.stock, log.item, log.targets["sentiment"], weights, seed=seed.seed)
        points = _points(seed, head, policies, seed.kept_away, realised)
        opinion[name] = offline_online(points)
        bias[name] = float(np.mean([point.predicted.value - point.realised.value for point in points]))
    love = fit_love(seed.reduced, seed.stock, candid, seed=seed.seed)
    loved = realised_rates(seed, policies, everywhere, opinion_odds=3.0)
    return SilenceResult(opinion, bias, offline_online(_points(seed, love, policies, seed.kept_away, loved)))


def realised_rates(
    seed: Seed,
    policies: Mapping[str, Array],
    prompts: Ints,
    *,
    opinion_odds: float = 1.0,
    truth: bool = False,
) -> dict[str, tuple[Rate, Rate]]:
    """(candidate, control) of an experiment each, love; with `truth` what everybody thinks instead."""

    def arm(policy: Array) -> Rate:
        size = seed.size
        log: Log = visit(
            seed.world,
            seed.stock,
            policy,
            prompts,
            size.trial_people,
            size.trial_answers,
            seed.rng,
            opinion_odds=opinion_odds,
        )
        return realised_rate(log.opinion if truth else log.targets["love"], np.ones(len(log.item)), log.person)

    return {name: (arm(policy), arm(seed.world.base)) for name, policy in policies.items()}


def _points(
    seed: Seed, head: Head, policies: Mapping[str, Array], fixed: Ints, realised: Mapping[str, tuple[Rate, Rate]]
) -> list[Point]:
    """As `record_predictions` keeps them, and what was realised."""
    base = predict(head.probabilities, seed.world.base, seed.stock, fixed, seed.rng)
    contrast = head.calibration.contrast
    return [
        Point(
            name,
            contrasted(predict(head.probabilities, policy, seed.stock, fixed, seed.rng), base, contrast),
            realised[name][0],
            base,
            realised[name][1],
        )
        for name, policy in policies.items()
    ]


def _less(seed: Seed, labels: int) -> Head:
    """The head from the first `labels` answers of the log (whole people)."""
    rows = slice(0, labels)
    weights = np.ones(len(seed.log.item[rows]))
    return fit_head(
        seed.reduced, seed.stock, seed.log.item[rows], seed.log.targets["love"][rows], weights, seed=seed.seed
    )


def _of_questions(seed: Seed, prompts: Ints) -> Log:
    return seed.visited(seed.world.base, prompts, seed.size.people // 5)


def _unforeseeable(seed: Seed) -> OfflineOnline:
    policies = unforeseeable_policies(seed.world, seed.stock)
    realised = realised_rates(seed, policies, np.arange(len(seed.stock.questions)))
    return offline_online(_points(seed, seed.love, policies, seed.kept_away, realised))


def _far(seed: Seed, main: OfflineOnline) -> tuple[FarPoint, ...]:
    everywhere, names, found = np.arange(len(seed.stock.questions)), list(MANNERS), []
    for name, share in FAR.items():
        own = (seed.stock.manner == names.index(name)) * seed.world.base
        own = own / np.bincount(seed.stock.prompt, own)[seed.stock.prompt]
        policy = share * own + (1 - share) * seed.world.base
        predicted = predict(seed.love.probabilities, policy, seed.stock, seed.kept_away, seed.rng)
        realised, _ = realised_rates(seed, {name: policy}, everywhere)[name]
        _, low, high = main.expected(predicted) or (np.nan, np.nan, np.nan)
        found.append(FarPoint(f"{name} in {share:.0%}", predicted.value, realised.value, low, high))
    return tuple(found)
