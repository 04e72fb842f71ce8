"""The job `decide`: one look at the running experiment, or the start of the next one."""

from infra.runtime import Job, JobContext, JobOutcome

DECIDE_DEADLINE_SECONDS = 300.0


def run_decide(job: JobContext) -> JobOutcome:
    """Look once; skipped when no experiment runs and none can start."""
    from ab_testing.self_test import failing
    from ab_testing.sentinel import watch
    from ab_testing.service import current_watermark, decide  # numpy and scipy only when there is something to weigh

    look = decide(job.context, job.confirm_lease)
    failing(job.context.settings)
    watch(job.context, current_watermark(job.context), job.confirm_lease)
    job.progress(1.0, look.text)
    if look.verdict is None and not look.holdbacks:
        return JobOutcome.skipped(look.text)
    return JobOutcome.done(look.text)


JOBS: tuple[Job, ...] = (
    Job(
        name="decide",
        run=run_decide,
        every_seconds=lambda settings: settings.jobs.decide_every_seconds,
        deadline_seconds=DECIDE_DEADLINE_SECONDS,
    ),
)
