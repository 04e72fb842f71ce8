"""What a decision changes in the store: the ledger's row and everything that follows from it, in one transaction."""

import msgspec

from ab_testing.decisions import Situation, Verdict, boundary
from ab_testing.ledger import next_decision
from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, Experiment, Phase, PlauditError
from infra.metrics import catalogue
from infra.runtime import Context
from infra.settings import config_hash


class NothingToRevertTo(PlauditError):
    """There is no earlier champion."""

    code = "nothing_to_revert_to"
    status = 409


def record(
    repository: ExperimentRepository,
    context: Context,
    experiment_id: str,
    verdict: Verdict,
    evidence: dict[str, object],
    watermark: float | None,
) -> Decision:
    """Append the verdict to the ledger. Without a watermark its instant is 0."""
    decision = next_decision(
        repository.last_decision(),
        project=context.settings.project,
        experiment_id=experiment_id,
        kind=verdict.kind,
        reason=verdict.reason,
        evidence=evidence,
        config_hash=config_hash(context.settings),
        watermark=watermark or 0.0,
        decided_at=context.clock.now(),
    )
    repository.append(decision)
    catalogue.AB_DECISIONS.labels(decision.kind).inc()
    return decision


def row_evidence(situation: Situation, verdict: Verdict) -> dict[str, object]:
    """The numbers behind a verdict: metric values, boundaries, sample sizes, the phase."""
    rules = situation.rules
    goals = sum(metric.role == "goal" for metric in rules.metrics)
    return {
        "code": verdict.code,
        "phase": msgspec.to_builtins(situation.phase),
        "proof": situation.proof,
        "boundaries_nats": {
            "better": boundary(rules.alpha_promote, goals),
            "not_inferior": boundary(rules.alpha_promote, 1),
            "worse": boundary(rules.alpha_rollback, len(rules.metrics)),
            "sample_ratio": boundary(rules.srm_alpha, 1),
        },
        **({} if situation.evidence is None else situation.evidence.document()),
    }


def last_code(repository: ExperimentRepository, experiment: Experiment) -> str:
    """The code of the experiment's newest row: a hold for the same reason is not written again."""
    last = repository.last_decision(experiment.experiment_id)
    return "" if last is None else str(last.evidence.get("code", ""))


def apply_verdict(
    repository: ExperimentRepository, experiment: Experiment, verdict: Verdict, decision: Decision
) -> None:
    """Change what the verdict changes: the ramp, or the experiment's end, the adapters' states and the champion."""
    now = decision.decided_at
    if verdict.kind == "ramp":
        assert verdict.share is not None
        phase = Phase(experiment.phase.index + 1, verdict.share, now)
        repository.set_phases(experiment, (*experiment.phases, phase))
    elif verdict.kind == "promote":
        repository.end(experiment, "promoted", now)
        repository.set_adapter_state(experiment.control, "retired")
        repository.set_adapter_state(experiment.challenger, "champion")
        repository.move_champion(experiment.challenger, experiment.control, decision.decision_id, now)
    elif verdict.kind == "rollback":
        repository.end(experiment, "rolled_back", now)
        repository.set_adapter_state(experiment.challenger, "rejected")
    elif verdict.kind == "stop":
        repository.end(experiment, "stopped", now)
        if verdict.code not in ("champion_changed", "challenger_withdrawn"):
            # Against another champion the challenger gets its experiment later; withdrawn ones keep their state.
            repository.set_adapter_state(experiment.challenger, "rejected")


def revert_champion(context: Context, reason: str) -> Decision:
    """Go back to the champion before, now, on a person's word; a running experiment stops at its next look.

    Raises NothingToRevertTo when there is none. The decision is a `rollback` of no experiment.
    """
    with context.database.transaction() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        champion, before = repository.champion(), repository.last_proven()
        if champion is None or before is None or champion == before:
            raise NothingToRevertTo(f"champion {champion!r} has no champion before it to go back to", field="champion")
        evidence: dict[str, object] = {"code": "reverted", "from": champion, "to": before}
        verdict = Verdict("rollback", "reverted", f"back from {champion} to {before}: {reason}")
        decision = record(repository, context, "", verdict, evidence, None)
        repository.set_adapter_state(champion, "rejected")
        repository.set_adapter_state(before, "champion")
        repository.move_champion(before, before, decision.decision_id, decision.decided_at)
    return decision
