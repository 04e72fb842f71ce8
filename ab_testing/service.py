"""One look at the running experiment: freeze, weigh, decide, write down; or start the next one.

Everything a decision changes (ledger, experiment, adapter states, champion pointer) changes in one transaction, so a
crash leaves either all of it or nothing, and the next look comes to the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Connection

from ab_testing import decisions as policy
from ab_testing.decisions import Proof, Situation, Verdict
from ab_testing.effects import apply_verdict, last_code, record, row_evidence
from ab_testing.evidence import Evidence
from ab_testing.exposures import freeze_config
from ab_testing.freezing import freeze_up_to
from ab_testing.metrics import check_objectives
from ab_testing.repository import ExperimentRepository
from ab_testing.standing import evidence_of as evidence_of_candidates
from ab_testing.standing import rules_of
from ab_testing.telemetry import observe_look, observe_rest
from infra.contracts import BASE_ADAPTER, Decision, Experiment, Phase
from infra.db import Dialect
from infra.runtime import Context
from infra.settings.ab_testing import AbTestingSettings

Confirm = Callable[[Connection], None]
"""Raises unless this process still is the only writer; asked first in every transaction that writes."""


@dataclass(frozen=True)
class Look:
    """What one look came to. `decision`: the ledger's new row, None when nothing new was to be said."""

    verdict: Verdict | None
    decision: Decision | None
    frozen: int = 0
    """People whose values this look froze."""

    @property
    def text(self) -> str:
        """One line for people."""
        if self.verdict is None:
            return "no experiment runs and no challenger waits"
        return f"{self.verdict.kind}: {self.verdict.reason}"


def bootstrap_state(connection: Connection, project: str, now: float = 0.0) -> None:
    """Point the champion to the base model unless there is a champion already. Idempotent."""
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    ExperimentRepository(connection, project).insert_state(dialect, BASE_ADAPTER, now)


def decide(context: Context, confirm: Confirm = lambda _connection: None) -> Look:
    """Look once. Safe to call at any time, again and again; call it from one process at a time."""
    with context.database.reading() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        experiment, champion = repository.running(), repository.champion()
    if champion is None:
        with _writing(context, confirm) as connection:
            bootstrap_state(connection, context.settings.project, context.clock.now())
    if experiment is None:
        return _start_next(context, confirm)
    return _look(context, experiment, confirm)


def current_watermark(context: Context) -> float | None:
    """The instant before which everything on the log has been applied to the store; never later than now."""
    log, settings = context.event_log, context.settings
    topics: dict[str, tuple[str, int]] = {}
    for topic in (f"{settings.event_log.topic_prefix}.{kind}" for kind in ("interactions", "feedback")):
        log.ensure_topic(topic)
        topics[topic] = (log.topic_identity(topic), log.partitions(topic))
    with context.database.reading() as connection:
        repository = ExperimentRepository(connection, settings.project)
        watermark = repository.watermark(settings.ingest.consumer_group, topics)
    return None if watermark is None else min(watermark, context.clock.now())


def evidence_of(connection: Connection, experiment: Experiment) -> Evidence:
    """What the store's frozen values say about an experiment's challenger."""
    return evidence_of_candidates(connection, experiment)["challenger"]


def _look(context: Context, experiment: Experiment, confirm: Confirm) -> Look:
    rules, watermark, frozen = rules_of(experiment), current_watermark(context), 0
    if watermark is not None:
        after = float(str(experiment.config["freeze_after_seconds"]))
        frozen = freeze_up_to(context.database, lambda: _writing(context, confirm), experiment, rules, after, watermark)
    with context.database.reading() as connection:
        situation = _situation(context, connection, experiment, rules, watermark)
        said = last_code(ExperimentRepository(connection, experiment.project), experiment)
    verdict = policy.decide(situation)
    observe_look(situation, verdict)
    if verdict.kind == "hold" and verdict.code == said:
        return Look(verdict, None, frozen)
    with _writing(context, confirm) as connection:
        repository = ExperimentRepository(connection, experiment.project)
        decision = record(
            repository,
            context,
            experiment.experiment_id,
            verdict,
            row_evidence(situation, verdict),
            situation.watermark,
        )
        apply_verdict(repository, experiment, verdict, decision)
    return Look(verdict, decision, frozen)


def _situation(
    context: Context, connection: Connection, experiment: Experiment, rules: AbTestingSettings, watermark: float | None
) -> Situation:
    repository = ExperimentRepository(connection, experiment.project)
    proof, detail = proof_of(repository, experiment.challenger)
    return Situation(
        rules=rules,
        phase=experiment.phase,
        started_at=experiment.started_at,
        now=context.clock.now(),
        watermark=watermark,
        proof=proof,
        proof_detail=detail,
        champion_is_control=repository.champion() == experiment.control,
        challenger_state=repository.adapter_state(experiment.challenger),
        evidence=evidence_of(connection, experiment),
    )


def proof_of(repository: ExperimentRepository, adapter: str) -> tuple[Proof, str]:
    """Proven when any replica proved it; refused when none did and some refused; else waiting."""
    proofs = repository.proofs(adapter)
    if any(status in ("proven", "indistinguishable") for _replica, status, _detail in proofs):
        return "proven", ""
    refused = [
        f"{replica}: {detail.get('reason', status)}" for replica, status, detail in proofs if status == "refused"
    ]
    return ("refused", "; ".join(refused)) if refused else ("waiting", "")


def _start_next(context: Context, confirm: Confirm) -> Look:
    project, now = context.settings.project, context.clock.now()
    check_objectives(context.settings.ab_testing.metrics, tuple(context.settings.ingest.objectives))
    watermark = current_watermark(context)
    observe_rest()
    with _writing(context, confirm) as connection:
        repository = ExperimentRepository(connection, project)
        challenger, champion = repository.waiting_challenger(), repository.champion()
        if challenger is None or champion is None:
            return Look(None, None)
        experiment = new_experiment(context, repository, challenger, champion, now)
        repository.insert(experiment)
        reason = f"{challenger} against {champion} at share {experiment.phase.share:g}"
        verdict = Verdict("start", "start", reason)
        evidence: dict[str, object] = {"code": "start", "salt": experiment.salt, "config": experiment.config}
        decision = record(repository, context, experiment.experiment_id, verdict, evidence, watermark)
    return Look(verdict, decision)


def new_experiment(
    context: Context, repository: ExperimentRepository, challenger: str, champion: str, now: float
) -> Experiment:
    """The experiment that follows the ledger as it stands: id and salt depend on it, a repeated start is the same."""
    head = repository.last_decision()
    place = f"{context.settings.project}\0{challenger}\0{head.hash if head else ''}"
    salt = blake2b(place.encode(), digest_size=16).hexdigest()
    rules = context.settings.ab_testing
    return Experiment(
        project=context.settings.project,
        experiment_id=f"exp-{salt[:16]}",
        challenger=challenger,
        control=champion,
        salt=salt,
        status="running",
        phases=(Phase(0, rules.ramp_shares[0], now),),
        started_at=now,
        config={
            "rules": rules.model_dump(mode="json"),
            **freeze_config(context.settings),
        },
    )


@contextmanager
def _writing(context: Context, confirm: Confirm) -> Iterator[Connection]:
    with context.database.transaction() as connection:
        confirm(connection)
        yield connection
