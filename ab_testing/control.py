"""A person's word about a running experiment: pause, resume, abort. Each is a row of the ledger.

A command may fall between a look's reading and its writing: the look finds that the experiment has changed and writes
nothing (`service`).
"""

from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection

from ab_testing.decisions import Verdict
from ab_testing.effects import record, row_evidence
from ab_testing.looking import current_watermark, situations_of
from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, Experiment, PlauditError
from infra.runtime import Context

Command = Literal["pause", "resume", "abort"]

Witness = Callable[[Connection, Decision], None]
"""Writes the act down elsewhere, in the same transaction."""


class NoSuchExperiment(PlauditError):
    """There is no such experiment, or none that runs."""

    code = "no_such_experiment"
    status = 404


class NotInThatState(PlauditError):
    """The experiment cannot be paused, or resumed, as it stands."""

    code = "not_in_that_state"
    status = 409


def command(
    context: Context,
    what: Command,
    reason: str,
    experiment_id: str | None = None,
    *,
    keep: bool = False,
    witness: Witness = lambda _connection, _decision: None,
) -> Decision:
    """Pause, resume or abort one experiment, by default the challenge that runs; returns the ledger's row.

    Paused, nobody's arm changes: ramp, promotion and deadline wait, harm and circuit breakers still take back. Aborted,
    it ends now and the champion stays; challengers are rejected, or wait again with `keep`. Raises NoSuchExperiment,
    NotInThatState.
    """
    watermark = current_watermark(context)
    with context.database.transaction() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        experiment = running_experiment(repository, experiment_id)
        _check(experiment, what)
        now = context.clock.now()
        situations = situations_of(context, connection, experiment, watermark, now)
        verdict = Verdict(what, _code(what, keep), f"{_WORDS[what]}: {reason}")
        evidence = row_evidence(experiment, situations, verdict)
        decision = record(repository, context, experiment.experiment_id, verdict, evidence, watermark, now)
        if repository.experiment(experiment.experiment_id) != experiment:
            # Only where the store lets two transactions write at once; the row just written keeps later ones out.
            raise NotInThatState(
                f"{experiment.experiment_id} was changed by a decision just now: see `plaudit ab-testing status`, and "
                "say it again if it still applies",
                field="experiment",
            )
        _apply(repository, experiment, what, now, keep)
        witness(connection, decision)
    return decision


def running_experiment(repository: ExperimentRepository, experiment_id: str | None) -> Experiment:
    """The running experiment of that id, or the running challenge. Raises NoSuchExperiment."""
    found = repository.experiment(experiment_id) if experiment_id else next(iter(repository.running()), None)
    if found is None or found.status != "running":
        named = "no challenge runs" if experiment_id is None else f"no experiment {experiment_id!r} runs"
        raise NoSuchExperiment(f"{named}: see `plaudit ab-testing status`", field="experiment")
    if found.kind == "sentinel":
        raise NoSuchExperiment(f"{found.experiment_id} is the sentinel, which takes no commands", field="experiment")
    return found


_WORDS: dict[Command, str] = {"pause": "paused", "resume": "resumed", "abort": "aborted, the champion stays"}


def _code(what: Command, keep: bool) -> str:
    return "aborted_kept" if what == "abort" and keep else _WORDS[what].split(",")[0]


def _check(experiment: Experiment, what: Command) -> None:
    if what == "pause" and experiment.paused_at is not None:
        raise NotInThatState(f"{experiment.experiment_id} is paused already", field="experiment")
    if what == "resume" and experiment.paused_at is None:
        raise NotInThatState(f"{experiment.experiment_id} is not paused", field="experiment")


def _apply(repository: ExperimentRepository, experiment: Experiment, what: Command, now: float, keep: bool) -> None:
    if what == "pause":
        repository.set_paused(experiment, now, experiment.config)
    elif what == "resume":
        before = float(str(experiment.config.get("paused_seconds", 0.0)))
        rested = before + max(0.0, now - (experiment.paused_at or now))
        repository.set_paused(experiment, None, {**experiment.config, "paused_seconds": rested})
    else:
        repository.end(experiment, "stopped", now)
        if experiment.kind == "challenge" and not keep:
            for adapter in experiment.remaining.values():
                if repository.adapter_state(adapter) == "challenger":
                    repository.set_adapter_state(adapter, "rejected")
