"""What would be known if labels could still change: for people to read, and for nothing to decide by.

A test counts each person once, as the labels stood when the window and the allowed lateness were over. What came later
is put beside it here: the same people, windows and metrics, with the labels and signals of now.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection

from ab_testing.exposures import FIRST_GROUP, Due, metric_groups
from ab_testing.freezing import known_of, numbers_of
from ab_testing.metrics import Number
from ab_testing.sentinel_repository import facts_repository, values_repository
from ab_testing.stability import Sums, difference
from ab_testing.standing import rules_of
from ab_testing.values_repository import chunks
from infra.contracts import Arm, Experiment

Pair = tuple[Arm, Number, Number]
"""A person's arm, the number as it was counted, and as it would be now."""


@dataclass(frozen=True)
class Sensitivity:
    """One metric of a candidate against the control: effect (difference of rates) as it was counted and as it would be
    now, over the `people` whose rows are still there, of whom `changed` have another value now."""

    metric: str
    arm: Arm
    people: int
    changed: int
    effect_counted: float | None
    effect_now: float | None


def sensitivity(connection: Connection, experiment: Experiment) -> list[Sensitivity]:
    """Every metric of every candidate. Reads all frozen people: for a report, not for a look."""
    pairs = _counted_and_now(connection, experiment)
    return [
        _compare(metric.name, arm, pairs[metric.name])
        for metric in rules_of(experiment).metrics
        for arm in experiment.arms
        if arm != "control"
    ]


def _counted_and_now(connection: Connection, experiment: Experiment) -> dict[str, list[Pair]]:
    rules = rules_of(experiment).model_copy(update={"covariate_days": 0.0})
    groups = metric_groups(experiment, rules, float(str(experiment.config["freeze_after_seconds"])))
    repository, facts = values_repository(connection, experiment), facts_repository(connection, experiment)
    exposed = {person.user_key: person for person in repository.exposed() if person.stage > FIRST_GROUP}
    found: dict[str, list[Pair]] = defaultdict(list)
    for users in chunks(list(exposed)):
        counted = repository.numbers(users)
        for group in groups:
            # Filed under the end of time: whatever was labelled and received by now counts.
            people = {user: Due(exposed[user], math.inf) for user in users if (user, group.metrics[0].name) in counted}
            known = known_of(facts, people, group, rules)
            for due, metric, now in numbers_of(facts, experiment, people, known, group, rules):
                user = due.exposure.user_key
                if user not in known.waiting:
                    found[metric].append((due.exposure.arm, counted[user, metric], now))
    return found


def _compare(metric: str, arm: Arm, pairs: list[Pair]) -> Sensitivity:
    ours = [pair for pair in pairs if pair[0] in (arm, "control")]
    changed = sum((before.value, before.denominator) != (now.value, now.denominator) for _arm, before, now in ours)
    counted = difference(_sums(arm, [(of, before) for of, before, _now in ours]))
    return Sensitivity(
        metric, arm, len(ours), changed, counted, difference(_sums(arm, [(of, now) for of, _, now in ours]))
    )


def _sums(arm: Arm, numbers: list[tuple[Arm, Number]]) -> Sums:
    sums = [0.0, 0.0, 0.0, 0.0]
    for of, number in numbers:
        if number.value is not None and math.isfinite(number.value):
            at = 0 if of == arm else 2
            sums[at] += number.value
            sums[at + 1] += 1.0 if number.denominator is None else number.denominator
    return sums[0], sums[1], sums[2], sums[3]
