"""How long an experiment will take at the traffic seen, and what its tests would do. Pure.

People are counted people, both arms together; the arithmetic is `infra.statistics.planning`, which takes the bettor who
was designed for the effect as if it were alone. The whole wealth does a little better.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ab_testing.decisions import boundary
from ab_testing.evidence import WEIGHTS, bets_on_scores
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import (
    chance_to_reach,
    empirical_bernstein_sequence,
    evidence_rate,
    fixed_sample_size,
    next_log_threshold,
    people_to_reach,
    power_spending,
)

DAY_SECONDS = 86_400.0
LEAST_PEOPLE = 200
"""With a value, before their mean is taken for what to expect."""
Question = Literal["better", "not worse", "harm"]


@dataclass(frozen=True)
class Baseline:
    """A metric among the champion's people: `people` looked at, share of them with a value, `mean` and `variance` of
    the values in [0, 1] (None: unknown), `correlation` with a covariate from before exposure; `low`, `high`: exact
    bounds on the mean at 95 % (empirical Bernstein), None where it was not measured."""

    people: int
    valued: float
    mean: float | None
    variance: float | None
    correlation: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Answer:
    """What it takes to answer one question about one metric.

    `effect`: absolute; `log_threshold`: nats; `fixed`: people of the fixed-sample test (5 %, power 80 %); `half`,
    `most`: people within which half, and four fifths, of experiments with that effect have their answer; `power`: by
    `max_people`; days likewise, infinite where nobody comes. None: not known, as the mean is not.
    """

    metric: str
    question: Question
    mean: float | None
    effect: float | None
    log_threshold: float
    fixed: float | None = None
    half: float | None = None
    most: float | None = None
    power: float | None = None
    days_half: float | None = None
    days_most: float | None = None


def baseline_of(metric: MetricSettings, values: Iterable[float | None]) -> Baseline:
    """From the values of the champion's people; where they tell nothing (fewer than two, or all 0), from the
    metric's expected rate, as if its values were all 0 or 1: no values in [0, 1] vary more."""
    every = list(values)
    found = np.array([value for value in every if value is not None], dtype=np.float64)
    rate = metric.expected_rate
    if found.size < 2 or (rate is not None and not found.any()):
        return Baseline(len(every), 1.0, rate, None if rate is None else rate * (1 - rate))
    bounds = empirical_bernstein_sequence(found)
    return Baseline(
        len(every),
        found.size / len(every),
        float(found.mean()),
        float(found.var(ddof=1)),
        low=float(bounds.low[-1]),
        high=float(bounds.high[-1]),
    )


def with_expected_rates(rules: AbTestingSettings, baselines: dict[str, Baseline]) -> AbTestingSettings:
    """The rules with every expected rate that is not set taken from what was seen before the experiment, where at least
    `LEAST_PEOPLE` had a value: known before the first person is counted, so no error rate is touched."""

    def told(metric: MetricSettings) -> MetricSettings:
        known = baselines[metric.name]
        mean, seen = known.mean, known.people * known.valued
        # As it is kept: a mean that rounds to 0 or 1 is no rate, and rules that hold one could not be read again.
        rate = 0.0 if mean is None else round(mean, 6)
        if metric.expected_rate is not None or not 0 < rate < 1 or seen < LEAST_PEOPLE:
            return metric
        return metric.model_copy(update={"expected_rate": rate})

    return rules.model_copy(update={"metrics": tuple(told(metric) for metric in rules.metrics)})


def stream_threshold(position: int, rate: float, horizon: int) -> float:
    """What the challenger at `position` (from 1) must reach, nats, when none before it was a discovery: the most that
    is ever asked there. Infinite beyond `horizon`. `rate`: the false discovery rate."""
    earlier = position - 1
    return next_log_threshold([-math.inf] * earlier, [False] * earlier, rate, power_spending(position, horizon))


def days_until(people: float, per_day: float, rules: AbTestingSettings, freeze_after: float | None = None) -> float:
    """Days until `people` counted people have frozen values, `per_day` new ones coming each day, along the ramp: each
    phase lasts as long as it must, and a person's value is frozen `freeze_after` seconds after the first answer (by
    default the window and the lateness of experiments alone: of a metric that waits for no label)."""
    if not per_day > 0 or not math.isfinite(people):
        return math.inf
    if freeze_after is None:
        freeze_after = rules.metric_window_seconds + rules.allowed_lateness_seconds
    lag = freeze_after / DAY_SECONDS
    counted, days = 0.0, 0.0
    for place, share in enumerate(rules.ramp_shares):
        a_day = 2 * min(share, 0.5) * per_day
        length = max(rules.min_phase_seconds / DAY_SECONDS, 2 * rules.min_people_per_phase / a_day + lag)
        if place == len(rules.ramp_shares) - 1 or counted + a_day * length >= people:
            days += max(people - counted, 0.0) / a_day
            break
        counted += a_day * length
        days += length
    return max(days + lag, rules.min_runtime_seconds / DAY_SECONDS)


def plan(
    rules: AbTestingSettings,
    baselines: dict[str, Baseline],
    per_day: float,
    log_threshold: float = -math.inf,
    freeze_after: float | None = None,
) -> list[Answer]:
    """Every question that a promotion asks, and harm. `log_threshold`: what the stream of challengers asks of the mean
    of the goals' e-values (nats); -inf for a challenger alone. `per_day`: new people who use the product;
    `freeze_after` as in `days_until`."""
    goals = sum(metric.role == "goal" for metric in rules.metrics)
    better = max(boundary(rules.alpha_promote, goals), log_threshold + math.log(goals))
    found = []
    for metric in rules.metrics:
        goal = metric.role == "goal"
        if goal:
            found.append(_answer(metric, "better", rules, baselines[metric.name], per_day, better, freeze_after))
        else:
            limit = boundary(rules.alpha_promote, 1)
            found.append(_answer(metric, "not worse", rules, baselines[metric.name], per_day, limit, freeze_after))
        limit = boundary(rules.alpha_rollback, len(rules.metrics))
        found.append(_answer(metric, "harm", rules, baselines[metric.name], per_day, limit, freeze_after))
    return found


def _answer(
    metric: MetricSettings,
    question: Question,
    rules: AbTestingSettings,
    known: Baseline,
    per_day: float,
    log_threshold: float,
    freeze_after: float | None,
) -> Answer:
    relative = metric.role == "goal"
    effect = None if known.mean is None else rules.smallest_relative_effect * known.mean if relative else metric.delta
    nothing = Answer(metric.name, question, known.mean, effect, log_threshold)
    if not effect or not known.variance or not math.isfinite(log_threshold):
        return nothing
    rate = evidence_rate(known.variance, effect, correlation=known.correlation)
    if not bets_on_scores(metric):
        # Blocks do not know the base rate.
        rate *= 1 - 1 / rules.block_people
    wealth = sum(WEIGHTS) if question == "not worse" else WEIGHTS[0]
    half = people_to_reach(log_threshold, rate, power=0.5, wealth=wealth)
    most = people_to_reach(log_threshold, rate, power=0.8, wealth=wealth)
    return Answer(
        metric.name,
        question,
        known.mean,
        effect,
        log_threshold,
        fixed_sample_size(known.variance, effect, correlation=known.correlation),
        half,
        most,
        chance_to_reach(log_threshold, rules.max_people * known.valued, rate, wealth=wealth),
        days_until(half / known.valued, per_day, rules, freeze_after),
        days_until(most / known.valued, per_day, rules, freeze_after),
    )


def promotion_days(answers: Sequence[Answer]) -> float | None:
    """Days by which four fifths of challengers that are better on the soonest goal, and no worse elsewhere, are
    promoted, at the earliest: the slowest of that goal and the guardrails. None where something is not known."""
    goals = [answer.days_most for answer in answers if answer.question == "better"]
    guards = [answer.days_most for answer in answers if answer.question == "not worse"]
    known = [days for days in goals if days is not None]
    if not known or None in guards:
        return None
    return max([min(known), *(days for days in guards if days is not None)])
