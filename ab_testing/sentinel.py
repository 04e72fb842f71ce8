"""The champion against itself, all the time: what decides must find nothing there.

People whom the champion answers are split on paper, by a salt that serving never sees, and go through the same filing,
freezing, counting and tests as those of an experiment. Whatever shows a difference then (a value that depends on the
arm's name, a count that is made twice, a test that lies) is a fault of ours, so an alarm stands in the ledger and
blocks promotions until a person has looked. A new sentinel begins with every champion, every change of what it counts
and how (`COUNTED_BY`; other settings leave it alone), and when one is full, but then not before it is a week old: each
has its own small error, and so a year has few of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b, sha256

from sqlalchemy import Connection

from ab_testing.decisions import Verdict, boundary
from ab_testing.effects import record
from ab_testing.evidence import Evidence
from ab_testing.exposures import FIRST_GROUP, freeze_after_seconds, freeze_config, metric_groups
from ab_testing.freezing import freeze_up_to
from ab_testing.ledger import canonical_json
from ab_testing.repository import ExperimentRepository
from ab_testing.sentinel_repository import SentinelRepository, values_repository
from ab_testing.standing import PEOPLE, evidence_of, rules_of, standing_of
from infra.contracts import Decision, Experiment, Phase, PlauditError
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.ab_testing import AbTestingSettings

COUNTED_BY = (
    "metrics", "smallest_relative_effect", "block_people", "metric_window_seconds", "allowed_lateness_seconds",
    "srm_concentration", "sentinel_people", "sentinel_alpha",
)  # fmt: skip
"""Settings of `ab_testing` that a sentinel's numbers depend on; of other rooms it is what `freeze_config` keeps."""
RENEWED_SECONDS = 7 * 86400.0
"""Age at which a full sentinel makes place for a new one."""

Confirm = Callable[[Connection], None]
"""Raises unless this process still is the only writer."""


class NoAlarm(PlauditError):
    """There is no alarm to acknowledge."""

    code = "no_sentinel_alarm"
    status = 409


def sentinel_alarm(connection: Connection, project: str) -> str:
    """What the sentinel found and nobody has acknowledged, in one line; "" when promotions are free to go on."""
    return "; ".join(alarm for _id, alarm in SentinelRepository(connection, project).alarms())


def alarm_of(evidence: Evidence, rules: AbTestingSettings) -> str:
    """What is wrong with the champion against itself, or "". All tests of one sentinel share `sentinel_alpha`."""
    limit = boundary(rules.sentinel_alpha, 2 * len(rules.metrics) + 1)
    if evidence.unusable:
        return evidence.unusable
    for metric in evidence.metrics:
        for said, log_e in (("better", metric.log_e_better), ("worse", metric.log_e_worse)):
            if (log_e or 0.0) >= limit:
                people = metric.people_challenger + metric.people_control
                return f"{metric.name} of the champion is {said} than its own, over {people} people"
    if evidence.log_e_sample_ratio >= limit:
        return f"people of the champion fall into halves of {evidence.exposed_challenger}, {evidence.exposed_control}"
    return ""


def watch(context: Context, watermark: float | None, confirm: Confirm = lambda _connection: None) -> str:
    """One look of the sentinel: begin one, count, end one. Returns the alarm that stands, or ""."""
    settings, project = context.settings, context.settings.project
    if watermark is None or not settings.ab_testing.sentinel_people:
        return _standing(context)
    with context.database.reading() as connection:
        sentinel = SentinelRepository(connection, project).current()
        champion = ExperimentRepository(connection, project).champion()
    if champion is None:
        return _standing(context)
    if sentinel is not None and (sentinel.control != champion or sentinel.config["made_by"] != made_by(settings)):
        _end(context, confirm, sentinel)
        sentinel = None
    if sentinel is None:
        with _writing(context, confirm) as connection:
            SentinelRepository(connection, project).insert(new_sentinel(settings, champion, watermark))
        return _standing(context)
    _look(context, confirm, sentinel, watermark)
    return _standing(context)


def made_by(settings: Settings) -> str:
    """SHA-256 (hex) of the settings that a sentinel's numbers depend on."""
    counted = settings.ab_testing.model_dump(mode="json", include=set(COUNTED_BY))
    return sha256(canonical_json({"rules": counted, **freeze_config(settings)}).encode()).hexdigest()


def new_sentinel(settings: Settings, champion: str, started_at: float) -> Experiment:
    """A sentinel; id and salt follow from the champion, the instant and the settings it counts by."""
    settled = made_by(settings)
    place = "\0".join(["sentinel", settings.project, champion, repr(started_at), settled])
    salt = blake2b(place.encode(), digest_size=16).hexdigest()
    rules = settings.ab_testing.model_copy(update={"covariate_days": 0.0, "segments": ()})
    return Experiment(
        project=settings.project,
        experiment_id=f"sen-{salt[:16]}",
        challenger=champion,
        control=champion,
        salt=salt,
        status="running",
        phases=(Phase(0, 0.5, started_at),),
        started_at=started_at,
        config={"rules": rules.model_dump(mode="json"), "made_by": settled, **freeze_config(settings)},
        kind="sentinel",
    )


def acknowledge(
    context: Context, reason: str, witness: Callable[[Connection, Decision], None] = lambda _connection, _decision: None
) -> list[str]:
    """Take every alarm as read, with a reason that stays; returns what they said. `witness` writes the act down
    elsewhere, in the same transaction. Raises NoAlarm when there is none."""
    with context.database.transaction() as connection:
        sentinels = SentinelRepository(connection, context.settings.project)
        alarms = sentinels.alarms()
        if not alarms:
            raise NoAlarm("the sentinel has found nothing that is not acknowledged")
        for experiment_id, alarm in alarms:
            sentinels.acknowledge(experiment_id, context.clock.now(), reason)
            verdict = Verdict("hold", "sentinel_acknowledged", f"acknowledged: {alarm}: {reason}")
            evidence: dict[str, object] = {"code": verdict.code, "experiment_kind": "sentinel"}
            repository = ExperimentRepository(connection, context.settings.project)
            witness(connection, record(repository, context, experiment_id, verdict, evidence, None))
    return [alarm for _id, alarm in alarms]


def _look(context: Context, confirm: Confirm, sentinel: Experiment, watermark: float) -> None:
    rules = rules_of(sentinel)
    with context.database.reading() as connection:
        people = standing_of(connection, sentinel).people.get(("challenger", PEOPLE), 0)
    full = people >= rules.sentinel_people
    groups = metric_groups(sentinel, rules, freeze_after_seconds(context.settings))
    after = groups[-1].freeze_after
    freeze_up_to(
        context.database, lambda: _writing(context, confirm), sentinel, rules, after, watermark, files=not full
    )
    with context.database.reading() as connection:
        evidence = evidence_of(connection, sentinel)["challenger"]
        waiting = values_repository(connection, sentinel).any_before(FIRST_GROUP + len(groups))
    alarm = alarm_of(evidence, rules)
    if alarm:
        _end(context, confirm, sentinel, alarm, evidence, watermark)
    elif full and not waiting and watermark - sentinel.started_at >= RENEWED_SECONDS:
        _end(context, confirm, sentinel)


def _end(
    context: Context,
    confirm: Confirm,
    sentinel: Experiment,
    alarm: str = "",
    evidence: Evidence | None = None,
    watermark: float | None = None,
) -> None:
    with _writing(context, confirm) as connection:
        SentinelRepository(connection, sentinel.project).end(sentinel.experiment_id, context.clock.now(), alarm)
        if evidence is not None:
            verdict = Verdict("hold", "sentinel", f"the champion differs from itself: {alarm}")
            document = {"code": verdict.code, "experiment_kind": "sentinel", **evidence.document()}
            repository = ExperimentRepository(connection, sentinel.project)
            record(repository, context, sentinel.experiment_id, verdict, document, watermark)


def _standing(context: Context) -> str:
    with context.database.reading() as connection:
        return sentinel_alarm(connection, context.settings.project)


@contextmanager
def _writing(context: Context, confirm: Confirm) -> Iterator[Connection]:
    with context.database.transaction() as connection:
        confirm(connection)
        yield connection
