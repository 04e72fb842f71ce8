"""The page of an experiment: how sure we are, whether the split is sound, what it waits for, what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request

from ab_testing.course import EXPOSED
from ab_testing.course_repository import CourseRepository
from ab_testing.decisions import Situation
from ab_testing.ledger import LedgerTampered, hash_of, verify_chain
from ab_testing.looking import current_watermark, situations_of, weigh
from ab_testing.repository import ExperimentRepository
from ab_testing.status import Gauge, gauges, seconds_left
from infra.contracts import Arm, Decision, Experiment
from infra.runtime import Context
from serving.console.charts import Band, Line, chart
from serving.console.errors import NothingHere
from serving.console.repository import ConsoleRepository

CHOICES = 12
ROWS = 30
POINTS = 600
LN10 = 2.302585092994046
WIDEST = 1.7
"""Intervals of a difference in [-1, 1] that are wider say nothing, and would flatten everything after them."""
TESTS = {"better": "better than the champion", "not_inferior": "no worse by its margin", "worse": "harm",
         "discovery": "what the stream of challengers asks"}  # fmt: skip
KINDS = {"start": "start", "promote": "good", "ramp": "move", "hold": "rest", "rollback": "bad", "stop": "rest",
         "drop": "bad", "pause": "rest", "resume": "move", "abort": "bad"}  # fmt: skip


@dataclass(frozen=True)
class Light:
    """Of the sample ratio: `tone` good, wait or bad, with the sentence that goes with it."""

    tone: str
    word: str
    sentence: str


def experiment_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """The experiment asked for, else the running challenge, else the newest. Raises NothingHere."""
    wanted, arm = request.query_params.get("id"), request.query_params.get("arm", "challenger")
    watermark = current_watermark(context)
    with context.database.reading() as connection:
        project = context.settings.project
        choices = ConsoleRepository(connection, project).experiments(CHOICES)
        ledger = ledger_of(connection, project, request.query_params.get("check") == "all")
        repository = ExperimentRepository(connection, project)
        shown = repository.experiment(wanted) if wanted else next(iter(repository.running()), repository.newest())
        if wanted and shown is None:
            raise NothingHere(f"there is no experiment {wanted!r}")
        if shown is None:
            return "experiment.html", {"shown": None, "choices": choices, **ledger}
        situations = situations_of(context, connection, shown, watermark, context.clock.now())
        arm = arm if arm in situations else next(iter(situations), "challenger")
        values = _values(context, connection, shown, situations, arm, watermark)
    return "experiment.html", {"shown": shown, "choices": choices, **values, **ledger}


def _values(
    context: Context,
    connection: Connection,
    shown: Experiment,
    situations: Mapping[Arm, Situation],
    arm: Arm,
    watermark: float | None,
) -> dict[str, Any]:
    situation = situations.get(arm)
    course = CourseRepository(connection, shown.project)
    names = [] if situation is None else [metric.name for metric in situation.rules.metrics]
    points = {name: course.points(shown.experiment_id, arm, name, POINTS) for name in (*names, EXPOSED)}
    last = ExperimentRepository(connection, shown.project).last_decision(shown.experiment_id)
    running = shown.status == "running" and situation is not None
    verdict = weigh(connection, shown, situations)[0] if running else None
    return {
        "arm": arm,
        "arms": arms_of(shown, situations),
        "verdict": _verdict(shown, verdict, last),
        "seconds": seconds_left(situations) if running and shown.kind == "challenge" else None,
        "watermark": watermark,
        "light": light_of(situation),
        "rows": [] if situation is None else metric_rows(situation),
        "charts": [] if situation is None else charts_of(situation, points),
    }


def _verdict(shown: Experiment, now: Any, last: Decision | None) -> dict[str, str]:
    if now is not None:
        return {"kind": now.kind, "tone": KINDS.get(now.kind, "rest"), "reason": now.reason}
    if last is None:
        return {"kind": shown.status, "tone": "rest", "reason": "nothing was decided"}
    return {"kind": last.kind, "tone": KINDS.get(last.kind, "rest"), "reason": last.reason}


def arms_of(shown: Experiment, situations: Mapping[Arm, Situation]) -> list[dict[str, Any]]:
    """A row an arm: adapter, people, the share of traffic."""
    some = next(iter(situations.values()), None)
    found = []
    for arm, adapter in shown.arms.items():
        situation = some if arm == "control" else situations.get(arm)
        evidence = None if situation is None else situation.evidence
        people = 0
        if evidence is not None:
            people = evidence.exposed_control if arm == "control" else evidence.exposed_challenger
        left = arm != "control" and arm in shown.dropped
        share = 0.0 if left or shown.status != "running" else shown.phase.share
        found.append({"arm": arm, "adapter": adapter, "people": people, "share": share, "left": left})
    return found


def metric_rows(situation: Situation) -> list[dict[str, Any]]:
    """A row a metric: rates, effect with its interval, margin, and how far each test has come."""
    if situation.evidence is None:
        return []
    tests: dict[str, list[Gauge]] = {}
    for gauge in gauges(situation):
        tests.setdefault(gauge.metric, []).append(gauge)
    margins = {metric.name: metric.delta for metric in situation.rules.metrics}
    return [
        {
            "metric": metric,
            "margin": margins[metric.name] if metric.role == "guardrail" else None,
            "tests": [(TESTS[gauge.test], gauge) for gauge in tests.get(metric.name, [])],
            "standing": _standing(metric.role, tests.get(metric.name, [])),
        }
        for metric in situation.evidence.metrics
    ]


def _standing(role: str, tests: Sequence[Gauge]) -> tuple[str, str]:
    """(tone, words) of one metric."""
    reached = {gauge.test for gauge in tests if gauge.reached}
    if "worse" in reached:
        return "bad", "harm shown"
    if "better" in reached:
        return "good", "better, shown"
    if "not_inferior" in reached:
        return "good", "no worse, shown"
    return "wait", "not enough evidence yet"


def light_of(situation: Situation | None) -> Light:
    """Whether people landed in the arms as they were drawn."""
    if situation is None or situation.evidence is None:
        return Light("wait", "no people yet", "Nobody was exposed, so there is nothing to compare.")
    evidence, limit = situation.evidence, situation.boundaries.sample_ratio
    worst = max([evidence.log_e_sample_ratio, *evidence.log_e_sample_ratio_segments.values()])
    people = f"{evidence.exposed_challenger} against {evidence.exposed_control} people"
    if worst >= limit:
        return Light("bad", "mismatch", f"{people}: the split is not the one that was drawn. Nothing is promoted.")
    return Light("good", "sound", f"{people}: no sign that the split is other than it was drawn.")


def charts_of(situation: Situation, points: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Goal first: its effect with the confidence sequence, its e-values, and how people came."""
    goal = next((metric.name for metric in situation.rules.metrics if metric.role == "goal"), "")
    course = points.get(goal, [])
    return [_effect(goal, course), _evidence(goal, course, situation), _traffic(points.get(EXPOSED, []))]


def _effect(goal: str, course: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    usable = [p for p in course if p["low"] is not None and p["high"] is not None and 0 < p["high"] - p["low"] < WIDEST]
    return chart(
        "effect",
        f"{goal}: challenger minus control",
        x=("people counted", [p["people"] for p in usable]),
        y="difference of rates",
        lines=[
            Line("lowest plausible", [p["low"] for p in usable], tone="band"),
            Line("highest plausible", [p["high"] for p in usable], tone="band"),
            Line("effect", [p["effect"] for p in usable], tone="a"),
        ],
        band=Band(1, 0),
        rules=[(0.0, "no difference")],
        caption="The band holds the true difference with 95 % confidence at every look at once, not only at the last.",
    )


def _evidence(goal: str, course: Sequence[Mapping[str, Any]], situation: Situation) -> dict[str, Any]:
    nats, bounds = [p for p in course if p["log_e_better"] is not None], situation.boundaries
    promote = [(bounds.better / LN10, "promote")] if situation.kind == "challenge" else []
    return chart(
        "evidence",
        f"{goal}: evidence, and what it must reach",
        x=("people counted", [p["people"] for p in nats]),
        y="log10 of the e-value",
        lines=[
            Line("challenger better", _log10(p["log_e_better"] for p in nats), tone="c"),
            Line("challenger worse", _log10(p["log_e_worse"] for p in nats), tone="b"),
        ],
        rules=[*promote, (bounds.worse / LN10, "take back")],
        caption="An e-value of 20 is odds of 20 to 1 against chance; it may be looked at as often as one likes.",
    )


def _traffic(exposed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return chart(
        "traffic",
        "People in each arm",
        x=("time, UTC", [p["at"] for p in exposed]),
        y="people exposed",
        lines=[
            Line("challenger", [p["people_challenger"] for p in exposed], tone="a"),
            Line("control", [p["people_control"] for p in exposed], tone="b"),
        ],
        time=True,
        caption="Both arms are meant to grow alike in every step of the ramp.",
    )


def _log10(values: Any) -> list[float | None]:
    return [None if value is None else round(value / LN10, 4) for value in values]


def ledger_of(connection: Connection, project: str, everything: bool) -> dict[str, Any]:
    """The newest decisions and whether they hold together; with `everything` the whole ledger is checked."""
    repository = ConsoleRepository(connection, project)
    rows = [Decision(**{str(key): value for key, value in row.items()}) for row in repository.decisions(ROWS)]
    problem = ""
    try:
        if everything:
            verify_chain(ExperimentRepository(connection, project).decisions())
        else:
            _verify_newest(rows)
    except LedgerTampered as tampered:
        problem = tampered.message
    return {"ledger": rows, "ledger_problem": problem, "ledger_whole": everything, "kinds": KINDS}


def _verify_newest(rows: Sequence[Decision]) -> None:
    """Each of these rows, newest first, gives its own hash and follows from the next. Raises LedgerTampered."""
    for row in rows:
        if hash_of(row) != row.hash:
            raise LedgerTampered(f"decision {row.sequence} ({row.kind}) was changed after it was written", field="hash")
    for after, before in pairwise(rows):
        if (after.sequence, after.previous_hash) != (before.sequence + 1, before.hash):
            raise LedgerTampered(
                f"decision {after.sequence} does not follow from {before.sequence}", field="previous_hash"
            )
