"""A person's word that something stands still: the whole loop, promotions, or one job. Stored, so that every process
obeys it, restarts included.

`loop`: jobs that learn are skipped, no new experiment begins, nothing is promoted; labels, harm checks and rollbacks go
on. `promotion`: the champion is pinned, everything else goes on. A job's name: that job is skipped wherever it is run.
"""

from collections.abc import Callable

from sqlalchemy import Connection

from infra.contracts.errors import PlauditError
from infra.runtime.context import Context
from infra.runtime.job import Job
from infra.runtime.pauses_repository import Pause, delete_pause, insert_pause, pauses_of

LOOP = "loop"
PROMOTION = "promotion"

Witness = Callable[[Connection, Pause], None]
"""Writes the act down elsewhere, in the same transaction."""


class AlreadyPaused(PlauditError):
    """It stands still already."""

    code = "already_paused"
    status = 409


class NotPaused(PlauditError):
    """It goes on already."""

    code = "not_paused"
    status = 409


def pause(context: Context, subject: str, actor: str, reason: str, witness: Witness = lambda _c, _p: None) -> Pause:
    """Stop `subject` (`loop`, `promotion`, or a job's name) until `resume`. Raises AlreadyPaused."""
    made = Pause(subject, actor[:128], reason, context.clock.now())
    with context.database.transaction() as connection:
        if not insert_pause(connection, context.settings.project, made):
            raise AlreadyPaused(f"{subject} is paused already; resume it first to give another reason", field="subject")
        witness(connection, made)
    return made


def resume(context: Context, subject: str, witness: Witness = lambda _c, _p: None) -> Pause:
    """Let `subject` go on; returns the pause that ended. Raises NotPaused."""
    project = context.settings.project
    with context.database.transaction() as connection:
        ended = pauses_of(connection, project).get(subject)
        if ended is None or not delete_pause(connection, project, subject):
            raise NotPaused(f"{subject} is not paused", field="subject")
        witness(connection, ended)
    return ended


def paused(context: Context) -> dict[str, Pause]:
    """Everything that stands still, by subject."""
    with context.database.reading() as connection:
        return pauses_of(connection, context.settings.project)


def why_paused(context: Context, job: Job) -> str | None:
    """Why `job` may not run now, in words; None when it may."""
    found = paused(context)
    stopped = found.get(job.name) or (found.get(LOOP) if job.learns else None)
    return None if stopped is None else told(stopped)


def told(pause: Pause) -> str:
    """A pause in words."""
    what = {LOOP: "the loop", PROMOTION: "promotion"}.get(pause.subject, f"job {pause.subject}")
    return f"{what} is paused by {pause.actor}: {pause.reason}"
