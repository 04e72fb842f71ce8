"""What is paused stands still in every process, until it is resumed."""

import pytest

from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log import EventLog
from infra.runtime import EXIT_DONE, Context, Job, JobContext, JobOutcome, run_job
from infra.runtime.pausing import LOOP, PROMOTION, AlreadyPaused, NotPaused, pause, paused, resume
from infra.runtime.repository import last_run
from infra.settings import Settings


@pytest.fixture
def context(settings: Settings, clock: ManualClock, database: Database, event_log: EventLog) -> Context:
    return Context(settings, clock, database, event_log)


def outcome_of(context: Context, *, learns: bool) -> tuple[str, str]:
    """Status and detail of one run of a job called `work`."""

    def run(_job: JobContext) -> JobOutcome:
        return JobOutcome.done("worked")

    assert run_job(context, Job("work", run, lambda _settings: 60.0, 60.0, learns=learns)) == EXIT_DONE
    with context.database.reading() as connection:
        ended = last_run(connection, context.settings.project, "work")
    assert ended is not None
    return ended.status, ended.detail


def test_a_paused_loop_stops_the_jobs_that_learn_and_no_others(context: Context) -> None:
    made = pause(context, LOOP, "console:anna", "bad labels")
    assert paused(context) == {LOOP: made}
    assert outcome_of(context, learns=True) == ("skipped", "the loop is paused by console:anna: bad labels")
    assert outcome_of(context, learns=False) == ("done", "worked")
    assert resume(context, LOOP) == made
    assert outcome_of(context, learns=True) == ("done", "worked")


def test_a_paused_job_is_skipped_and_a_paused_promotion_stops_no_job(context: Context) -> None:
    pause(context, PROMOTION, "cli:ops", "audit week")
    assert outcome_of(context, learns=True) == ("done", "worked")
    pause(context, "work", "cli:ops", "too loud")
    assert outcome_of(context, learns=False) == ("skipped", "job work is paused by cli:ops: too loud")


def test_nothing_is_paused_twice_or_resumed_when_it_goes_on(context: Context) -> None:
    seen: list[str] = []
    pause(context, LOOP, "a", "first", lambda _connection, made: seen.append(made.reason))
    with pytest.raises(AlreadyPaused):
        pause(context, LOOP, "b", "second", lambda _connection, made: seen.append(made.reason))
    assert seen == ["first"]
    assert paused(context)[LOOP].actor == "a"
    resume(context, LOOP)
    with pytest.raises(NotPaused):
        resume(context, LOOP)
