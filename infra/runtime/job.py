"""A job: declared once, read by the in-process scheduler, by Kubernetes CronJobs and by the command line.

Every job is idempotent and may be started twice or not at all. It ends by returning a JobOutcome (exit 0), by raising
TryLater (exit 75) or by raising anything else (exit 1).
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from infra.contracts.clock import Clock
from infra.contracts.errors import PlauditError
from infra.db import Database
from infra.runtime.context import Context
from infra.runtime.fires import CatchUp, Timing
from infra.settings import Settings

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_TRY_LATER = 75
"""EX_TEMPFAIL of sysexits.h."""

LEASE_HEARTBEATS = 4
"""How many heartbeats a lease outlives."""

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,62}$")


class TryLater(PlauditError):
    """The job cannot run now, and it is nobody's fault: its lease is taken, a part it needs is not up yet."""

    code = "try_later"
    status = 503


class LeaseLost(PlauditError):
    """Another process has taken this job over: whatever this one has not committed must not be committed."""

    code = "lease_lost"
    status = 409


@dataclass(frozen=True)
class JobOutcome:
    """How a run ended: done, or skipped with the reason. Both are success."""

    status: Literal["done", "skipped"]
    detail: str

    @classmethod
    def done(cls, detail: str = "") -> "JobOutcome":
        return cls("done", detail)

    @classmethod
    def skipped(cls, reason: str) -> "JobOutcome":
        return cls("skipped", reason)


class JobContext:
    """What a run is given. In tests: `JobContext(context)`."""

    def __init__(
        self,
        context: Context,
        run_id: str = "",
        *,
        stop: Callable[[], bool] = lambda: False,
        confirm: Callable[[Connection], None] = lambda _connection: None,
        complete: Callable[[Connection], None] = lambda _connection: None,
        fire: float | None = None,
    ) -> None:
        self.context = context
        self.run_id = run_id
        self.fire = fire
        """The instant of the schedule that this is a run of, Unix seconds; None: by hand or by evidence."""
        self._complete = complete
        self._stop = stop
        self._confirm = confirm
        self._lock = threading.Lock()
        self._progress: tuple[float, str] = (0.0, "")

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def clock(self) -> Clock:
        return self.context.clock

    @property
    def database(self) -> Database:
        return self.context.database

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the run is, `fraction` in [0, 1]. Cheap: the heartbeat writes it down, about once a second."""
        with self._lock:
            self._progress = (min(max(float(fraction), 0.0), 1.0), text)

    def latest_progress(self) -> tuple[float, str]:
        with self._lock:
            return self._progress

    def should_stop(self) -> bool:
        """Whether to end soon: the process shuts down, the deadline has passed, or the lease is lost. Ask often."""
        return self._stop()

    def confirm_lease(self, connection: Connection) -> None:
        """Raise LeaseLost unless this run still holds its lease, and keep it so until the transaction ends.

        For a job that must be the only writer: call it first in the transaction that commits the result.
        """
        self._confirm(connection)

    def complete(self, connection: Connection) -> None:
        """`confirm_lease`, and this fire counts as run once the transaction is committed: it will not be repeated, even
        if the process dies before the run has ended. For a job whose work must not be done twice."""
        self._confirm(connection)
        self._complete(connection)


@dataclass(frozen=True)
class Job:
    """`every_seconds(settings)` is the schedule; `deadline_seconds` the longest a run may take; a `child` job is run
    in a process of its own, with low priority, so that it can neither slow nor break the services. `waits_for` says
    cheaply, in the parent, what a child would only come to say after a second of imports: why there is nothing to do
    (None: there is). `learns`: it stands still while the loop is paused (`infra.runtime.pausing`).

    A fire whose run failed or died is tried `retries` times more before the next one counts; `catch_up`: see `fires`.
    `by_evidence`: it also runs before its time, as soon as `waits_for` has nothing against it."""

    name: str
    run: Callable[[JobContext], JobOutcome]
    every_seconds: Callable[[Settings], float]
    deadline_seconds: float
    retries: int = 2
    catch_up: CatchUp = "latest"
    by_evidence: bool = False
    child: bool = False
    waits_for: Callable[[Context], str | None] | None = None
    learns: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"job name {self.name!r}: use lower-case letters, digits and '-'")
        if self.by_evidence and self.waits_for is None:
            raise ValueError(f"job {self.name}: by_evidence needs waits_for, which says when there is enough")
        if self.deadline_seconds <= 0:
            raise ValueError(f"job {self.name}: deadline_seconds = {self.deadline_seconds} must be positive")

    def timing(self, settings: Settings) -> Timing:
        """When it is due in this deployment."""
        jobs = settings.jobs
        cron = jobs.cron.get(self.name, "")
        return Timing(self.name, self.every_seconds(settings), cron, self.catch_up, jobs.jitter_seconds)
