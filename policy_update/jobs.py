"""The room's scheduled job."""

from infra.runtime import Context, Job, JobContext, JobOutcome


def run_policy_update(job: JobContext) -> JobOutcome:
    """Train the adapters of one cycle and put them before the gate, or say why there is nothing to do."""
    from policy_update.plan import make_plan

    with job.database.reading() as connection:
        plan = make_plan(connection, job.settings)
    if isinstance(plan, str):
        return JobOutcome.skipped(plan)
    from policy_update.service import train_adapter  # brings torch

    return train_adapter(job, plan)


def nothing_to_train(context: Context) -> str | None:
    """Why there is no update to make now; None when there is."""
    from policy_update.plan import make_plan
    from policy_update.prompt_file import InvalidPromptFile

    with context.database.reading() as connection:
        try:
            plan = make_plan(connection, context.settings)
        except InvalidPromptFile:
            return None  # the run itself fails and says so in its row
    return plan if isinstance(plan, str) else None


JOBS: tuple[Job, ...] = (
    Job(
        name="policy-update",
        run=run_policy_update,
        every_seconds=lambda settings: settings.jobs.policy_update_every_seconds,
        deadline_seconds=12 * 3600.0,
        child=True,
        waits_for=nothing_to_train,
        by_evidence=True,
        learns=True,
    ),
)
