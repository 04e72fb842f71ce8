"""One look at everything that runs: freeze, weigh, decide, write down; or start the next challenge.

Everything a decision changes (ledger, experiment, adapter states, champion pointer) changes in one transaction, so a
crash leaves either all of it or nothing, and the next look comes to the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ab_testing.baselines import rules_at_start
from ab_testing.course import new_points
from ab_testing.course_repository import CourseRepository
from ab_testing.decisions import Situation, Verdict
from ab_testing.effects import apply_verdict, last_code, record, row_evidence
from ab_testing.freezing import freeze_up_to
from ab_testing.looking import current_watermark, situations_of, weigh
from ab_testing.metrics import check_objectives
from ab_testing.repository import ExperimentRepository
from ab_testing.standing import evidence_of, rules_of
from ab_testing.starting import start_challenge, start_holdback
from infra.contracts import BASE_ADAPTER, Arm, Decision, Experiment
from infra.db import Dialect
from infra.metrics import catalogue
from infra.runtime import Context
from infra.runtime.pauses_repository import pauses_of
from infra.runtime.pausing import LOOP, told

__all__ = ["Confirm", "Look", "bootstrap_state", "current_watermark", "decide", "evidence_of", "rules_of"]

Confirm = Callable[[Connection], None]
"""Raises unless this process still is the only writer; asked first in every transaction that writes."""


@dataclass(frozen=True)
class Look:
    """What one look came to. `decision`: the ledger's new row, None when nothing new was to be said."""

    verdict: Verdict | None
    decision: Decision | None
    frozen: int = 0
    """People whose values this look froze."""
    holdbacks: tuple["Look", ...] = ()
    """What the same look came to for experiments that watch a new champion."""
    resting: str = ""
    """Why no challenger was looked for."""

    @property
    def text(self) -> str:
        """One line for people."""
        lines = [f"holdback: {look.text}" for look in self.holdbacks]
        if self.verdict is not None:
            lines.insert(0, f"{self.verdict.kind}: {self.verdict.reason}")
        return "; ".join(lines) or self.resting or "no experiment runs and no challenger waits"


class Overtaken(Exception):
    """Nothing of the transaction stands."""


def bootstrap_state(connection: Connection, project: str, now: float = 0.0) -> None:
    """Point the champion to the base model unless there is a champion already. Idempotent."""
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    ExperimentRepository(connection, project).insert_state(dialect, BASE_ADAPTER, now)


def decide(context: Context, confirm: Confirm = lambda _connection: None) -> Look:
    """Look once, at holdbacks first, then at the challenge. Safe to call at any time, again and again; call it from one
    process at a time."""
    with context.database.reading() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        champion, holdbacks = repository.champion(), repository.running("holdback")
    if champion is None:
        with _writing(context, confirm) as connection:
            bootstrap_state(connection, context.settings.project, context.clock.now())
    held = tuple(_look(context, experiment, confirm) for experiment in holdbacks)
    with context.database.reading() as connection:
        challenges = ExperimentRepository(connection, context.settings.project).running()
    look = _look(context, challenges[0], confirm) if challenges else _start_next(context, confirm)
    return replace(look, holdbacks=held)


def _look(context: Context, experiment: Experiment, confirm: Confirm) -> Look:
    rules, watermark, frozen = rules_of(experiment), current_watermark(context), 0
    if watermark is not None:
        after = float(str(experiment.config["freeze_after_seconds"]))
        frozen = freeze_up_to(context.database, lambda: _writing(context, confirm), experiment, rules, after, watermark)
    while True:
        look, again = _weigh_and_write(context, experiment, confirm, watermark)
        if again is None:
            return replace(look, frozen=frozen)
        experiment = again  # one of several candidates has left: look at the others without it


def _weigh_and_write(
    context: Context, experiment: Experiment, confirm: Confirm, watermark: float | None
) -> tuple[Look, Experiment | None]:
    """The look, and the experiment as it goes on when a candidate was dropped."""
    with context.database.reading() as connection:
        situations = situations_of(context, connection, experiment, watermark, context.clock.now())
        verdict, passed = weigh(connection, experiment, situations)
        said = last_code(ExperimentRepository(connection, experiment.project), experiment)
        counted = CourseRepository(connection, experiment.project).counted(experiment.experiment_id)
    if points := new_points(experiment, situations, counted):
        with _writing(context, confirm) as connection:
            CourseRepository(connection, experiment.project).add(points)
    catalogue.AB_LOOKS.labels(verdict.kind, verdict.code).inc()
    if verdict.kind == "hold" and verdict.code == said:
        return Look(verdict, None), None
    try:
        with _writing(context, confirm) as connection:
            decision = write(context, connection, experiment, situations, verdict, passed)
            after = ExperimentRepository(connection, experiment.project).experiment(experiment.experiment_id)
    except Overtaken:
        return Look(Verdict("hold", "overtaken", "a command changed something during this look"), None), None
    return Look(verdict, decision), after if verdict.kind == "drop" else None


def write(
    context: Context,
    connection: Connection,
    experiment: Experiment,
    situations: dict[Arm, Situation],
    verdict: Verdict,
    passed: list[Arm],
) -> Decision:
    """The verdict's row and effects. Raises Overtaken when a command changed the experiment, or a person the champion
    or a candidate's state, since they were read.

    The row goes first: its number is taken from then on, so no command can come in between.
    """
    repository = ExperimentRepository(connection, experiment.project)
    some = next(iter(situations.values()))
    evidence = row_evidence(experiment, situations, verdict, passed)
    decision = record(repository, context, experiment.experiment_id, verdict, evidence, some.watermark, some.now)
    if repository.experiment(experiment.experiment_id) != experiment or _moved(repository, experiment, situations):
        raise Overtaken
    apply_verdict(repository, experiment, verdict, decision, passed)
    if verdict.kind == "promote":
        promoted = experiment.arms[verdict.arm or "challenger"]
        start_holdback(context, repository, promoted, experiment.control, some.watermark)
    return decision


def _moved(repository: ExperimentRepository, experiment: Experiment, situations: dict[Arm, Situation]) -> bool:
    """Whether the champion or a candidate is no longer what the verdict rests on: a revert is no change of the
    experiment's row, and must not be undone by a promotion that was weighed before it."""
    champion = repository.champion()
    return any(
        (champion == experiment.control) != seen.champion_is_control
        or (champion == experiment.arms[arm]) != seen.champion_is_challenger
        or repository.adapter_state(experiment.arms[arm]) != seen.challenger_state
        for arm, seen in situations.items()
    )


def _start_next(context: Context, confirm: Confirm) -> Look:
    check_objectives(context.settings.ab_testing.metrics, tuple(context.settings.ingest.objectives))
    watermark = current_watermark(context)
    with context.database.reading() as connection:
        if (stopped := pauses_of(connection, context.settings.project).get(LOOP)) is not None:
            return Look(None, None, resting=told(stopped))
        if not ExperimentRepository(connection, context.settings.project).waiting_challengers():
            return Look(None, None)
    if unseeing := _unseeing(context, watermark):
        return Look(unseeing, None)
    rules = rules_at_start(context)  # read before the write lock is taken
    with _writing(context, confirm) as connection:
        started = start_challenge(context, connection, watermark, rules)
    return Look(None, None) if started is None else Look(*started)


def _unseeing(context: Context, watermark: float | None) -> Verdict | None:
    """Why nothing starts now: an experiment of which nothing would be seen shows an untried adapter to people."""
    limit = context.settings.ab_testing.freshness_seconds
    if watermark is None:
        return Verdict(
            "hold", "no_watermark", "no start: some partition of the log was never read; does the consumer run?"
        )
    if context.clock.now() - watermark > limit:
        return Verdict("hold", "stale", f"no start: the watermark is older than {limit:g} s; is the consumer running?")
    return None


@contextmanager
def _writing(context: Context, confirm: Confirm) -> Iterator[Connection]:
    with context.database.transaction() as connection:
        confirm(connection)
        yield connection
