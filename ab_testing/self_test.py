"""Does this process find an effect that is there, in the direction in which it is? Asked before it may promote.

Simulated people with a known effect go through the product's own path: answers' labels -> one number a person and
metric -> states of the pair -> evidence -> the rules. For every metric the challenger is once made better and once,
with the arms of the very same people exchanged, worse. A swapped baseline or a direction read the wrong way round (a
known kind of fault: GrowthBook pull request 6020) turns one into the other; either must be found, and as what it is.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ab_testing.decisions import Situation, Verdict, boundary, decide
from ab_testing.evidence import Evidence, MetricEvidence
from ab_testing.exposures import FIRST_GROUP, Due, Exposure
from ab_testing.metrics import FEEDBACK, RETURN, Values, person_number
from ab_testing.standing import Standing
from infra.contracts import Arm, Experiment, Phase
from infra.metrics import catalogue
from infra.settings import Settings, config_hash
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

SEED = 20261121
GOOD, BAD, USUAL = 0.85, 0.25, 0.75
"""Chance that an answer turns out well for the injected metric in the better arm, in the other, and for all others."""
LOOK_PEOPLE = 50
WIDE = 0.3
"""Least margin of guardrails here: a margin of a hundredth takes thousands of people, which tells nothing more."""
ATTEMPTS = 3
"""An effect is drawn anew so often before it counts as not found. A sound test takes back a metric that is no worse
once in a while, here in one injection of seventy; people drawn once and for all would then hold every promotion of
that configuration for ever. A fault of the path is there every time."""
LARGEST_CAP = 3.0
"""Of sums and ratios here, as many answers as a simulated person has at most: under a cap of hundreds the same effect
takes thousands of people, and nothing would ever be promoted by metrics that are sound."""


@dataclass(frozen=True)
class SelfTest:
    """`failures`: what was injected and not found as what it was, in words; `checked`: how many effects."""

    checked: int
    failures: tuple[str, ...]
    seconds: float

    @property
    def text(self) -> str:
        """One line; "" when everything was found."""
        return "; ".join(self.failures)


_known: dict[str, SelfTest] = {}


def failing(settings: Settings) -> str:
    """Why this process must not promote, or "": the self-test of this configuration, run once a process."""
    key = config_hash(settings)
    if key not in _known:
        _known[key] = self_test(settings.ab_testing)
        catalogue.AB_SELF_TEST.set(len(_known[key].failures))
    return _known[key].text


def self_test(rules: AbTestingSettings, seed: int = SEED) -> SelfTest:
    """Inject an effect of either sign into every metric and see what is made of it."""
    started, failures, tested = time.perf_counter(), [], _quick(rules)
    for number, metric in enumerate(tested.metrics):
        for exchanged in (False, True):
            same = [each.name for each in tested.metrics if each.objective == metric.objective]
            told = ""
            for attempt in range(ATTEMPTS):
                found = _course(tested, metric, exchanged, seed + number + 1000 * attempt)
                told = _fault(metric, same, exchanged, *found)
                if not told:
                    break
            if told:
                failures.append(told)
    return SelfTest(2 * len(tested.metrics), tuple(failures), time.perf_counter() - started)


def _quick(rules: AbTestingSettings) -> AbTestingSettings:
    """The same rules without the waits: minimum people and times, and margins and caps that take few people."""

    def quick(metric: MetricSettings) -> MetricSettings:
        delta = max(metric.delta, WIDE) if metric.role == "guardrail" else metric.delta
        return metric.model_copy(update={"delta": delta, "cap": min(metric.cap, LARGEST_CAP)})

    metrics = tuple(map(quick, rules.metrics))
    return rules.model_copy(
        update={
            "metrics": metrics,
            "min_people_per_arm": 1,
            "min_people_per_phase": 1,
            "min_runtime_seconds": 0.0,
            "min_phase_seconds": 0.0,
            "max_people": 10**9,
            "max_runtime_seconds": math.inf,
            "stability_top_people": 0,
        }
    )


def _course(rules: AbTestingSettings, metric: MetricSettings, exchanged: bool, seed: int) -> tuple[Verdict, Evidence]:
    """Look every `LOOK_PEOPLE` people until a verdict other than to go on, at most `self_test_people` people."""
    experiment = Experiment(
        project="self-test", experiment_id="self-test", challenger="better", control="usual", salt="", status="running",
        phases=(Phase(0, 0.5, 0.0),), started_at=0.0, config={},
    )  # fmt: skip
    standing, drawn = Standing(experiment, rules), _people(rules, metric, exchanged, np.random.default_rng(seed))
    verdict, evidence = Verdict("hold", "nobody", "nobody yet"), standing.evidence("challenger", 0, {})
    for people in range(LOOK_PEOPLE, rules.self_test_people + 1, LOOK_PEOPLE):
        for _ in range(LOOK_PEOPLE):
            due, labels, responded, returned = next(drawn)
            standing.count_exposed([due.exposure], {})
            standing.count_values(
                [(due, each.name, person_number(each, labels, responded, returned)) for each in rules.metrics]
            )
        evidence = standing.evidence("challenger", 0, {})
        verdict = decide(_situation(rules, evidence, float(people)))
        if verdict.kind in ("promote", "rollback") or (not exchanged and _shown(metric, evidence, rules)):
            break
    return verdict, evidence


def _people(
    rules: AbTestingSettings, metric: MetricSettings, exchanged: bool, rng: np.random.Generator
) -> Iterator[tuple[Due, list[Values], bool, bool]]:
    """People in the order in which they count: who, labels, whether they reacted, whether they came back.

    The arm they really had makes their answers; `exchanged` calls it by the other's name.
    """
    number = 0
    while True:
        number += 1
        better = bool(rng.random() < 0.5)
        arm: Arm = "challenger" if better != exchanged else "control"
        labels = [_label(rules, metric, better, rng) for _ in range(int(rng.integers(1, 4)))]
        exposure = Exposure(f"person-{number:06d}", arm, 0.5, 0, 1, float(number), FIRST_GROUP)
        yield (
            Due(exposure, float(number)),
            labels,
            _well(rules, metric, FEEDBACK, better, rng),
            _well(rules, metric, RETURN, better, rng),
        )


def _label(rules: AbTestingSettings, metric: MetricSettings, better: bool, rng: np.random.Generator) -> Values:
    """The label of one answer: every objective of a metric turns out well or badly, whatever is good there."""
    found: dict[str, float | None] = {}
    for each in (metric, *rules.metrics):
        if each.objective not in found and each.objective not in (FEEDBACK, RETURN):
            well = rng.random() < ((GOOD if better else BAD) if each.objective == metric.objective else USUAL)
            found[each.objective] = float(well == (each.direction == "higher"))
        if each.aggregate == "ratio":
            found.setdefault(each.denominator, 1.0)
    return found


def _well(
    rules: AbTestingSettings, metric: MetricSettings, objective: str, better: bool, rng: np.random.Generator
) -> bool:
    """Whether a person reacts (or comes back): well or badly as a metric of it says, usual without any."""
    direction = next((each.direction for each in (metric, *rules.metrics) if each.objective == objective), "higher")
    chance = (GOOD if better else BAD) if metric.objective == objective else USUAL
    return bool((rng.random() < chance) == (direction == "higher"))


def _situation(rules: AbTestingSettings, evidence: Evidence, at: float) -> Situation:
    return Situation(
        rules=rules,
        phase=Phase(0, 0.5, 0.0),
        started_at=0.0,
        now=at,
        watermark=at,
        proof="proven",
        proof_detail="",
        champion_is_control=True,
        challenger_state="challenger",
        evidence=evidence,
    )


def _shown(metric: MetricSettings, evidence: Evidence, rules: AbTestingSettings) -> bool:
    """Whether a guardrail (which alone promotes nothing) is shown to be better."""
    return metric.role == "guardrail" and (_of(metric, evidence).log_e_better or 0.0) >= _limit(rules)


def _fault(metric: MetricSettings, same: list[str], exchanged: bool, verdict: Verdict, evidence: Evidence) -> str:
    """What is wrong with what was made of an injected effect, or "". `same`: metrics of the same objective, which the
    effect moves too."""
    injected = f"{metric.name} made {'worse' if exchanged else 'better'}"
    if exchanged:
        right = verdict.kind == "rollback" and verdict.code == "worse" and verdict.reason.split(" ")[0] in same
    elif metric.role == "goal":
        right = verdict.kind == "promote"
    else:
        found = _of(metric, evidence)
        right = verdict.kind != "rollback" and (found.log_e_better or 0.0) > max(found.log_e_worse or 0.0, math.log(20))
    return "" if right else f"{injected}: {verdict.kind} ({verdict.code}: {verdict.reason})"


def _of(metric: MetricSettings, evidence: Evidence) -> MetricEvidence:
    return next(found for found in evidence.metrics if found.name == metric.name)


def _limit(rules: AbTestingSettings) -> float:
    return max(boundary(rules.alpha_promote, len(rules.metrics)), math.log(20))
