"""What the rules would do to challengers that are equal, better and worse, with a look after every person."""

import math
from dataclasses import dataclass

import numpy as np

from ab_testing.decisions import boundary
from ab_testing.evidence import bets_on_scores, betting_design, design_of, harm_design
from ab_testing.simulation import Test, betting_test, drawn_from, simulate, two_arm_test
from ab_testing.simulation_people import pools, steady
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import InvalidStatisticsInput


@dataclass(frozen=True)
class Outcome:
    """Of challengers whose rate is `rate`: shares that a metric has promoted (its part in it) and rolled back, and the
    median of the counted people of those that were decided, None: none was."""

    truth: str
    rate: float
    promoted: float
    rolled_back: float
    median_people: float | None


def simulate_rules(
    rules: AbTestingSettings,
    metric: MetricSettings,
    rate: float,
    *,
    people: int,
    runs: int = 500,
    log_threshold: float = -math.inf,
    seed: int = 0,
) -> list[Outcome]:
    """Experiments of `people` counted people whose values of `metric` are 0 or 1, the control's mean being `rate`.

    The metric's own evidence alone: other metrics, ramp and clock are left out, arms are equal. Better and worse: by
    the effect that the test is designed for, where that leaves a rate in (0, 1). For a guardrail "promoted" means shown
    not to be worse. `log_threshold` as in `plan`. Raises InvalidStatisticsInput.
    """
    goal = metric.role == "goal"
    effect = rules.smallest_relative_effect * rate if goal else metric.delta
    if not 0 < rate < 1:
        raise InvalidStatisticsInput(
            f"the control's rate must lie in (0, 1), got {rate:g}: set the metric's expected_rate, or wait for labels",
            field="rate",
        )
    tests, found = _tests(rules, metric, log_threshold), []
    for truth, other in (("equal", rate), ("better", rate + effect), ("worse", rate - effect)):
        # Where less is better, better is less.
        shown = other if metric.direction == "higher" else 2 * rate - other
        if not 0 < shown < 1:
            continue
        high, low = max(rate, shown), min(rate, shown)
        pool = pools("binary", np.array([high]), drop=high - low, relative=False, better=shown > rate)
        stops = simulate(drawn_from(pool, steady(people, 0.5)), tests, runs, seed)
        won = stops["promoted"] < stops["rolled_back"]
        lost = np.isfinite(stops["rolled_back"]) & ~won
        decided = np.minimum(stops["promoted"], stops["rolled_back"])[won | lost]
        median = float(np.median(decided)) if decided.size else None
        found.append(Outcome(truth, shown, float(won.mean()), float(lost.mean()), median))
    return found


def _tests(rules: AbTestingSettings, metric: MetricSettings, log_threshold: float) -> dict[str, Test]:
    """The two e-processes that decide about the metric, at their boundaries."""
    goals = sum(each.role == "goal" for each in rules.metrics)
    goal, higher = metric.role == "goal", metric.direction == "higher"
    better = max(boundary(rules.alpha_promote, goals), log_threshold + math.log(goals))
    promote = math.exp(better if goal else boundary(rules.alpha_promote, 1))
    roll_back = math.exp(boundary(rules.alpha_rollback, len(rules.metrics)))
    design, least = design_of(rules), 2 * rules.min_people_per_arm
    harm, margin = harm_design(metric, design), 0.0 if goal else -metric.delta
    if bets_on_scores(metric):
        return {
            "promoted": betting_test(
                betting_design(design), margin=margin, harm=not higher, boundary=promote, least=least
            ),
            "rolled_back": betting_test(betting_design(harm, metric.expected_rate), harm=higher, boundary=roll_back),
        }
    return {
        "promoted": two_arm_test(design, margin=margin, harm=not higher, boundary=promote, least=least),
        "rolled_back": two_arm_test(harm, harm=higher, boundary=roll_back),
    }
