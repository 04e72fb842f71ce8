"""The weekly job `validity`: which short signals predict that people come back."""

from collections.abc import Iterator, Mapping

from infra.runtime import Context, Job, JobContext, JobOutcome
from infra.settings.rewards import ValiditySettings
from ingest.labels import Labelling
from ingest.objectives import Objective
from ingest.selection.repository import SelectionRepository
from ingest.validity.repository import ValidityRepository
from ingest.validity.returns import Frame, day_of, frame_of, person_days, return_rate
from ingest.validity.verdicts import LOWER_IS_BETTER, SignalValidity, verdict_of
from ingest.waiting_repository import waits_for_labels

DEADLINE_SECONDS = 1800.0


def run_validity(job: JobContext) -> JobOutcome:
    """Compute the table anew; skipped, with the number missing, until enough people's seven days are over."""
    import numpy as np

    settings, project, now = job.settings.ingest.validity, job.settings.project, job.clock.now()
    objectives = Labelling.of(job.settings.ingest).objectives
    with job.database.reading() as connection:
        active = list(ValidityRepository(connection, project).activity(now - settings.history_seconds))
        labelled = SelectionRepository(connection, project).labelled(
            now - settings.history_seconds, settings.max_labels
        )
    days = person_days(
        ((person, instant) for _, person, instant in active),
        until=now - job.settings.ingest.allowed_lateness_seconds,
        return_days=settings.return_days,
        day_seconds=settings.day_seconds,
    )
    key_of = {response: (person, day_of(at, settings.day_seconds)) for response, person, at in active}
    values = ((key_of[one.response_id], one.values) for one in labelled if one.response_id in key_of)
    frame = frame_of(days, values, [objective.name for objective in objectives])
    people = len(np.unique(frame.people))
    if people < settings.min_people:
        return JobOutcome.skipped(
            f"not enough evidence: {settings.min_people - people} more people whose {settings.return_days} days after "
            f"a labelled answer are over ({people} so far)"
        )
    found = list(validity_of(frame, objectives, settings, now))
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        ValidityRepository(connection, project).put(found)
    rate, known = return_rate(days.values())
    told = ", ".join(f"{one.objective} {one.verdict}" for one in found)
    return JobOutcome.done(f"{people} people; return after {rate:.1%} of {known} person-days; {told}")


def validity_of(
    frame: Frame, objectives: tuple[Objective, ...], settings: ValiditySettings, now: float
) -> Iterator[SignalValidity]:
    """A row for each objective; the intervals are shared out over the objectives (Bonferroni)."""
    import numpy as np

    from ingest.validity.effects import adjusted_effect

    level = 1 - (1 - settings.confidence) / max(len(objectives), 1)
    for objective in objectives:
        values = frame.values[objective.name]
        known = ~np.isnan(values)
        people = len(np.unique(frame.people[known]))
        detail: Mapping[str, float] = {"days": int(known.sum()), "confidence": level}
        effect = None
        if people >= settings.min_people:
            effect = adjusted_effect(
                frame.returned[known], values[known], frame.covariates[known], frame.people[known], confidence=level
            )
        if effect is None:
            yield SignalValidity(objective.name, "too_few", None, None, None, people, dict(detail), now)
            continue
        verdict = verdict_of(effect.low, effect.high, lower_is_better=objective.kind in LOWER_IS_BETTER)
        detail = {**detail, "mean": float(values[known].mean()), "return": float(frame.returned[known].mean())}
        yield SignalValidity(objective.name, verdict, effect.mean, effect.low, effect.high, people, dict(detail), now)


def waits(context: Context) -> str | None:
    """Why a run would not be worth starting."""
    project = context.settings.project
    with context.database.reading() as connection:
        since = ValidityRepository(connection, project).made_at()
        return waits_for_labels(connection, project, since, context.settings.ingest.validity.min_people)


VALIDITY_JOB = Job(
    name="validity",
    run=run_validity,
    every_seconds=lambda settings: settings.jobs.validity_every_seconds,
    deadline_seconds=DEADLINE_SECONDS,
    child=True,
    waits_for=waits,
)
