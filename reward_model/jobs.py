"""The room's scheduled job."""

from infra.runtime import Context, Job, JobContext, JobOutcome


def run_reward_model(job: JobContext) -> JobOutcome:
    """Train a reward model when there is enough new feedback, or say how many labels are missing. First, what people
    did with past candidates is held against what was predicted of them."""
    from reward_model.offline_online_service import fill_points
    from reward_model.service import train

    fill_points(job.context, job.confirm_lease)
    outcome = train(job.context, job.progress, should_stop=job.should_stop, confirm=job.confirm_lease)
    if outcome.skipped:
        return JobOutcome.skipped(outcome.skipped)
    lines = (outcome.report or {}).get("summary", [])
    return JobOutcome.done("; ".join([outcome.ref, *lines]))


def nothing_to_learn(context: Context) -> str | None:
    """How many labels are missing for a training; None when none is."""
    from reward_model.service import reason_to_wait

    return reason_to_wait(context, context.clock.now())


JOBS: tuple[Job, ...] = (
    Job(
        name="reward-model",
        run=run_reward_model,
        every_seconds=lambda settings: settings.jobs.reward_model_every_seconds,
        deadline_seconds=2 * 3600.0,
        child=True,
        waits_for=nothing_to_learn,
        by_evidence=True,
        learns=True,
    ),
)
