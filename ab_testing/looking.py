"""What a look sees: every remaining candidate's situation, from the store, at one watermark."""

import math
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from ab_testing.candidates import best_among
from ab_testing.checks import promotion_veto
from ab_testing.decisions import Proof, Situation, Verdict, decide, decide_among, passing
from ab_testing.discoveries import NO_STREAM, Discovery, allowance, stream_of
from ab_testing.repository import ExperimentRepository
from ab_testing.standing import evidence_of, rules_of
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Arm, Experiment
from infra.runtime import Context


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


def situations_of(
    context: Context, connection: Connection, experiment: Experiment, watermark: float | None, now: float
) -> dict[Arm, Situation]:
    """Arm -> situation of every candidate that has not been dropped, in order."""
    repository, rules = ExperimentRepository(connection, experiment.project), rules_of(experiment)
    evidence, trips = evidence_of(connection, experiment), repository.trips(experiment.experiment_id)
    champion = repository.champion()
    stream: list[Discovery] = []
    if experiment.kind == "challenge":
        stream = stream_of(repository.ends(), rules.fdr_since)
    found = {}
    for place, (arm, adapter) in enumerate(experiment.arms.items()):
        if arm not in experiment.remaining:
            continue
        proof, detail = proof_of(repository, adapter, experiment.started_at + rules.proof_patience_seconds)
        found[arm] = Situation(
            rules=rules,
            phase=experiment.phase,
            started_at=experiment.started_at,
            now=now,
            watermark=watermark,
            proof=proof,
            proof_detail=detail,
            champion_is_control=champion == experiment.control,
            challenger_state=repository.adapter_state(adapter),
            evidence=evidence[arm],
            kind=experiment.kind,
            arm=arm,
            candidates=len(experiment.candidates),
            champion_is_challenger=champion == adapter,
            trips=trips.get(arm, ()),
            control_trips=trips.get("control", ()),
            paused_at=experiment.paused_at,
            paused_seconds=float(str(experiment.config.get("paused_seconds", 0.0))),
            allowed=allowance(stream, rules, place) if experiment.kind == "challenge" else NO_STREAM,
        )
    # Asked only where it matters: the self-test takes a moment, and most looks promote nobody.
    if any(decide(situation).kind == "promote" for situation in found.values()):
        veto = promotion_veto(context, connection)
        found = {arm: replace(situation, veto=veto) for arm, situation in found.items()}
    return found


def weigh(
    connection: Connection, experiment: Experiment, situations: Mapping[Arm, Situation]
) -> tuple[Verdict, list[Arm]]:
    """The experiment's verdict, and the candidates that might be promoted."""
    verdicts = {arm: decide(situation) for arm, situation in situations.items()}
    passed = passing(verdicts)
    best = passed[0] if len(passed) == 1 else None
    if len(passed) > 1:
        values = ValuesRepository(connection, experiment.project, experiment.experiment_id).values()
        best = best_among(experiment, passed, situations, values)
    return decide_among(verdicts, best), passed


def proof_of(repository: ExperimentRepository, adapter: str, final_from: float = -math.inf) -> tuple[Proof, str]:
    """Proven when any replica proved it; refused when none did and one refused it at `final_from` (Unix seconds) or
    later; else waiting. What was said so far comes with it.

    One refusal may be one replica's damaged disk, and a replica that is gone takes nothing back: gateways try again, so
    a refusal counts that is repeated when every other replica has had its time to prove the adapter.
    """
    proofs = repository.proofs(adapter)
    if any(status in ("proven", "indistinguishable") for _replica, status, _detail, _at in proofs):
        return "proven", ""
    refusals = [
        (f"{replica}: {detail.get('reason', status)}", at)
        for replica, status, detail, at in proofs
        if status == "refused"
    ]
    told = "; ".join(reason for reason, _at in refusals)
    return ("refused" if any(at >= final_from for _reason, at in refusals) else "waiting"), told
