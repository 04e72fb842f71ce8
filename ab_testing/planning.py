"""How long an experiment will take at the traffic seen, and what its tests would do. Pure.

People are counted people, both arms together; the arithmetic is `infra.statistics.planning`, which takes the bettor who
was designed for the effect as if it were alone. The whole wealth does a little better.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ab_testing.decisions import boundary
from ab_testing.evidence import WEIGHTS, bets_on_scores
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import (
    chance_to_reach,
    evidence_rate,
    fixed_sample_size,
    mean_interval,
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
    bounds on the mean at 95 %, None where it was not measured."""

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
    low, high = mean_interval(found)
    return Baseline(
        len(every),
        found.size / len(every),
        float(found.mean()),
        float(found.var(ddof=1)),
        low=low,
        high=high,
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


def days_until(
    people: float,
    per_day: float,
    rules: AbTestingSettings,
    freeze_after: float | None = None,
    *,
    valued: float = 1.0,
    candidates: int = 1,
) -> float:
    """Days until `people` counted people of one comparison have frozen values, along the ramp.

    `per_day`: people who come for the first time each day; `freeze_after`: seconds from a person's first answer to the
    frozen value (by default the window and the lateness of experiments alone: of a metric that waits for no label);
    `valued`: share of people with a value of the metric that has the fewest, for which every step waits;
    `candidates`: arms beside the control, which share the first half of all people. What the model leaves out: people
    counted late because they come seldom, and those seen before a step who are counted only from it on.
    """
    if not per_day > 0 or not valued > 0 or not math.isfinite(people):
        return math.inf
    lag = _lag(rules, freeze_after)
    steps = _steps(rules, per_day, lag, valued, candidates)
    counted = days = 0.0
    for a_day, length in steps[:-1]:
        if counted + a_day * length >= people:
            break
        counted += a_day * length
        days += length
    else:
        a_day = steps[-1][0]
    return max(days + max(people - counted, 0.0) / a_day + lag, rules.min_runtime_seconds / DAY_SECONDS)


def ramp_days(
    rules: AbTestingSettings,
    per_day: float,
    freeze_after: float | None = None,
    *,
    valued: float = 1.0,
    candidates: int = 1,
) -> float:
    """Days until the ramp stands at its last step; arguments as in `days_until`."""
    if not per_day > 0 or not valued > 0:
        return math.inf
    return sum(length for _, length in _steps(rules, per_day, _lag(rules, freeze_after), valued, candidates)[:-1])


def _lag(rules: AbTestingSettings, freeze_after: float | None) -> float:
    """Days from a first answer to a frozen value."""
    alone = rules.metric_window_seconds + rules.allowed_lateness_seconds
    return (alone if freeze_after is None else freeze_after) / DAY_SECONDS


def _steps(
    rules: AbTestingSettings, per_day: float, lag: float, valued: float, candidates: int
) -> list[tuple[float, float]]:
    """Counted people of a comparison a day, and least length in days, of every step of the ramp: as
    `decisions_rules.growing` asks, `min_people_per_phase` people in each arm with a value of every metric."""
    shares = dict.fromkeys(min(share, 0.5 / candidates) for share in rules.ramp_shares)
    least = rules.min_phase_seconds / DAY_SECONDS
    return [
        (2 * share * per_day, max(least, rules.min_people_per_phase / (share * per_day * valued) + lag))
        for share in shares
    ]


def ramp_at_start(
    rules: AbTestingSettings,
    baselines: dict[str, Baseline],
    per_day: float,
    log_threshold: float = -math.inf,
    freeze_after: float | None = None,
    candidates: int = 1,
) -> tuple[float, ...]:
    """The steps of the ramp that an experiment takes which begins now, at the traffic seen.

    It begins at the smallest step from which the plan ends before the deadline: four in five challengers with the
    smallest effect of interest are promoted by then (where not all is known, as far as that is known, and the ramp is
    through in half of the time); at the last step where none does. Nobody seen, or `ramp_start` first: at the first.
    Arguments as in `plan`.
    """
    if rules.ramp_start == "first" or not per_day > 0:
        return rules.ramp_shares
    for place in range(len(rules.ramp_shares)):
        left = rules.model_copy(update={"ramp_shares": rules.ramp_shares[place:]})
        answers = plan(left, baselines, per_day, log_threshold, freeze_after, candidates)
        days = promotion_days(answers)
        if days is None:
            valued = least_valued(baselines)
            ramp = ramp_days(left, per_day, freeze_after, valued=valued, candidates=candidates)
            days = max(2 * ramp, promotion_days([answer for answer in answers if answer.days_most is not None]) or 0.0)
        if days <= rules.max_runtime_seconds / DAY_SECONDS:
            return left.ramp_shares
    return rules.ramp_shares[-1:]


def least_valued(baselines: dict[str, Baseline]) -> float:
    """The share of people with a value of the metric that has the fewest; 1 where none has been measured."""
    return min((known.valued for known in baselines.values() if known.valued > 0), default=1.0)


def plan(
    rules: AbTestingSettings,
    baselines: dict[str, Baseline],
    per_day: float,
    log_threshold: float = -math.inf,
    freeze_after: float | None = None,
    candidates: int = 1,
) -> list[Answer]:
    """Every question that a promotion asks, and harm. `log_threshold`: what the stream of challengers asks of the mean
    of the goals' e-values (nats); -inf for a challenger alone. `per_day`, `freeze_after`, `candidates` as in
    `days_until`."""
    goals = sum(metric.role == "goal" for metric in rules.metrics)
    better = max(boundary(rules.alpha_promote, goals * candidates), log_threshold + math.log(goals))
    no_worse = boundary(rules.alpha_promote, candidates)
    harm = boundary(rules.alpha_rollback, len(rules.metrics))
    valued = least_valued(baselines)

    def days(people: float, question: Question) -> float:
        least = 0 if question == "harm" else 2 * rules.min_people_per_arm
        return days_until(max(people, least), per_day, rules, freeze_after, valued=valued, candidates=candidates)

    asked: list[tuple[MetricSettings, Question, float]] = []
    for metric in rules.metrics:
        goal = metric.role == "goal"
        asked += [(metric, "better", better) if goal else (metric, "not worse", no_worse), (metric, "harm", harm)]
    return [_answer(metric, question, rules, baselines[metric.name], limit, days) for metric, question, limit in asked]


def _answer(
    metric: MetricSettings,
    question: Question,
    rules: AbTestingSettings,
    known: Baseline,
    log_threshold: float,
    days: Callable[[float, Question], float],
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
        days(half / known.valued, question),
        days(most / known.valued, question),
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
