"""Which of several candidates that may all be promoted is promoted. Pure."""

from collections.abc import Mapping, Sequence

from ab_testing.decisions import Situation
from ab_testing.evidence import PersonValues, ValueRow, design_of, e_processes_of
from ab_testing.shares import pair_share
from infra.contracts import Arm, Experiment
from infra.statistics.best_arm import decide_best_arm


def best_among(
    experiment: Experiment,
    passed: Sequence[Arm],
    situations: Mapping[Arm, Situation],
    values: Mapping[str, Sequence[ValueRow]],
) -> Arm:
    """Of the candidates that `passed`, the one shown to be the best by the first goal; where none is, the one of the
    larger effect.

    Each may be promoted on its own evidence, so the choice spends no error: at worst the second best is promoted. An
    e-process for every ordered pair, over the people of these two arms, by the probabilities of either.
    """
    rules = situations[passed[0]].rules
    goal = next(metric for metric in rules.metrics if metric.role == "goal")
    rows, design = values.get(goal.name, ()), design_of(rules)

    def log_e(j: Arm, k: Arm) -> float:
        both = [row for row in rows if row[0] in (j, k)]
        people = PersonValues.of(both, j, lambda phase: pair_share(experiment, j, k, phase, rules.hash_mode))
        return e_processes_of(goal, people, design).better.last

    # Number 0 of the procedure is the control; all of these have beaten it already.
    pairs = {
        (place, other): log_e(j, k) if j != k else 0.0
        for place, j in enumerate(passed, start=1)
        for other, k in enumerate(passed, start=1)
    }
    pairs |= {(place, 0): float("inf") for place in range(1, len(passed) + 1)}
    pairs |= {(0, place): float("-inf") for place in range(1, len(passed) + 1)}
    best = decide_best_arm(pairs, len(passed) + 1, rules.alpha_promote).best
    if best is not None:
        return passed[best - 1]
    sign = 1.0 if goal.direction == "higher" else -1.0
    effects = {arm: sign * (situations[arm].goals[0].effect or 0.0) for arm in passed}
    return max(passed, key=lambda arm: effects[arm])
