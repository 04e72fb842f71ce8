"""The job `propensity`: fits who votes, and reports what that does to what is heard."""

from infra.runtime import Context, Job, JobContext, JobOutcome
from ingest.labels import Labelling
from ingest.selection.repository import SelectionRepository
from ingest.waiting_repository import waits_for_labels

DEADLINE_SECONDS = 1800.0


def run_propensity(job: JobContext) -> JobOutcome:
    """Fit the model anew and keep it, with its report; skipped, with the number missing, on too little evidence."""
    import numpy as np

    from ingest.selection.evidence import only_people, shown_answers
    from ingest.selection.model import fit_selection
    from ingest.selection.report import report

    settings, project, now = job.settings.ingest.selection, job.settings.project, job.clock.now()
    labelling = Labelling.of(job.settings.ingest)
    with job.database.reading() as connection:
        answers = shown_answers(connection, project, labelling, now - settings.history_seconds, settings.max_answers)
    voted = np.array([opinion is not None for opinion in answers.opinions], dtype=bool)
    votes, silent = int(voted.sum()), int((~voted).sum())
    if votes < settings.min_votes or silent == 0:
        missing = (
            f"{settings.min_votes - votes} more votes" if votes < settings.min_votes else "1 answer without a vote"
        )
        return JobOutcome.skipped(f"not enough evidence: {missing} needed ({votes} of {voted.size} shown answers)")
    job.progress(0.2, f"fitting on {voted.size} shown answers")
    opinions = np.array([np.nan if opinion is None else opinion for opinion in answers.opinions])
    fitted = fit_selection(
        answers.covariates, answers.people, voted, opinions, folds=settings.folds, clip=settings.clip
    )
    job.progress(0.7, "corrected rates and bounds")
    document = report(answers, fitted, clip=settings.clip, gammas=settings.gammas, confidence=settings.confidence)
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        habits = only_people(answers.habits, list(answers.habits))
        version = SelectionRepository(connection, project).add(fitted.model, document, habits, votes, now)
    told = f"model {version}: {votes} votes on {voted.size} shown answers"
    if "rates" not in document:
        return JobOutcome.done(f"{told}, all of them asked for")
    found = {name: document["rates"][name]["value"] for name in ("likes among voters (raw)", "doubly robust")}
    raw, corrected = found.values()
    size = document["effective_sample_size"]
    return JobOutcome.done(f"{told}; liked by {raw:.1%} of the voters, {corrected:.1%} corrected, ESS {size:.0f}")


def waits(context: Context) -> str | None:
    """Why a fit would not be worth starting."""
    project = context.settings.project
    with context.database.reading() as connection:
        since = SelectionRepository(connection, project).fitted_at()
        return waits_for_labels(connection, project, since, context.settings.ingest.selection.min_votes)


SELECTION_JOB = Job(
    name="propensity",
    run=run_propensity,
    every_seconds=lambda settings: settings.jobs.propensity_every_seconds,
    deadline_seconds=DEADLINE_SECONDS,
    child=True,
    waits_for=waits,
)
