"""The job `dwell-model`: fits reading times on champion traffic. While an experiment runs, the model that was there at
its beginning stays in force; what is fitted meanwhile waits."""

from collections.abc import Iterable

from infra.runtime import Context, Job, JobContext, JobOutcome
from ingest.dwell.model import DwellModel, counts, fit
from ingest.dwell.repository import DwellRepository, ReadingTime
from ingest.labels import InteractionFacts
from ingest.repository import FeedbackRepository
from ingest.waiting_repository import waits_for_labels

DEADLINE_SECONDS = 900.0

Reading = tuple[float, float, str]
"""(active seconds, tokens, class of device) of one person with one answer."""


def run_dwell_model(job: JobContext) -> JobOutcome:
    """Fit the model anew and keep it as a new version; skipped, with the number missing, on too little evidence."""
    import numpy as np

    settings, project = job.settings.ingest.dwell, job.settings.project
    now = job.clock.now()
    with job.database.reading() as connection:
        repository = DwellRepository(connection, project)
        champion = repository.champion()
        if champion is None:
            return JobOutcome.skipped("there is no champion yet, whose traffic the model is fitted on")
        events = repository.readings(champion, now - settings.history_seconds, settings.max_readings)
        facts = FeedbackRepository(connection, project).facts({event.response_id for event in events})
    readings = readings_of(events, facts, settings.characters_per_token)
    seconds, tokens = np.array([r[0] for r in readings]), np.array([r[1] for r in readings])
    kinds = counts(seconds, settings.bounce_seconds, settings.abandoned_seconds)
    model = fit(
        seconds,
        tokens,
        [r[2] for r in readings],
        min_readings=settings.min_readings,
        bounce_seconds=settings.bounce_seconds,
        abandoned_seconds=settings.abandoned_seconds,
        cap_quantile=settings.cap_quantile,
    )
    told = f"{kinds['read']} readings, {kinds['bounce']} bounces, {kinds['abandoned']} tabs left open"
    if model is None:
        missing = settings.min_readings - kinds["read"]
        return JobOutcome.skipped(f"not enough evidence: {missing} more readings of {champion} needed ({told})")
    return _keep(job, model, kinds["read"], f"{told}, of {champion}")


def readings_of(
    events: Iterable[ReadingTime], facts: dict[str, InteractionFacts], characters_per_token: float
) -> list[Reading]:
    """The last word of each person about each answer of known length, in an order that depends on nothing else."""
    latest: dict[tuple[str, int, str], ReadingTime] = {}
    for event in events:
        fact = facts.get(event.response_id)
        voter = event.user_key or (fact.user_key if fact else None) or ""
        key = (event.response_id, event.choice, voter)
        known = latest.get(key)
        if known is None or (known.derived_at, known.event_id) < (event.derived_at, event.event_id):
            latest[key] = event
    found: list[Reading] = []
    for (response_id, choice, _), event in sorted(latest.items()):
        fact = facts.get(response_id)
        characters, tokens = (fact.characters.get(choice), fact.tokens.get(choice)) if fact else (None, None)
        length = tokens or (characters / characters_per_token if characters else None)
        if event.operation == "set" and event.seconds is not None and length:
            found.append((event.seconds, float(length), event.device or "all"))
    return found


def waits(context: Context) -> str | None:
    """Why a fit would not be worth starting."""
    project = context.settings.project
    with context.database.reading() as connection:
        newest = DwellRepository(connection, project).newest()
        enough = context.settings.ingest.dwell.min_readings
        return waits_for_labels(connection, project, newest[1] if newest else 0.0, enough)


def _keep(job: JobContext, model: DwellModel, readings: int, told: str) -> JobOutcome:
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        repository = DwellRepository(connection, job.settings.project)
        version = repository.add(model, readings, job.clock.now())
        in_force = repository.in_force()
    frozen = "" if in_force and in_force[0] == version else "; an experiment runs: the model of its beginning stays"
    return JobOutcome.done(f"model {version}: {told}{frozen}")


DWELL_JOB = Job(
    name="dwell-model",
    run=run_dwell_model,
    every_seconds=lambda settings: settings.jobs.dwell_model_every_seconds,
    deadline_seconds=DEADLINE_SECONDS,
    child=True,
    waits_for=waits,
)
