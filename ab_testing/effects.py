"""What a decision changes in the store: the ledger's row and everything that follows from it, in one transaction."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from ab_testing.decisions import Situation, Verdict
from ab_testing.discoveries import entry_of
from ab_testing.ledger import next_decision
from ab_testing.repository import ExperimentRepository
from infra.contracts import BASE_ADAPTER, Arm, Decision, Experiment, Phase, PlauditError
from infra.metrics import catalogue
from infra.runtime import Context
from infra.settings import config_hash

STAY = ("champion_changed", "challenger_withdrawn", "discoveries_exhausted")
"""Ends that say nothing against a challenger: it keeps its state, and if it was waiting, it waits again."""


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
    decided_at: float | None = None,
) -> Decision:
    """Append the verdict to the ledger. Without a watermark its instant is 0; `decided_at` by default now."""
    decision = next_decision(
        repository.last_decision(),
        project=context.settings.project,
        experiment_id=experiment_id,
        kind=verdict.kind,
        reason=verdict.reason,
        evidence=evidence,
        config_hash=config_hash(context.settings),
        watermark=watermark or 0.0,
        decided_at=context.clock.now() if decided_at is None else decided_at,
    )
    repository.append(decision)
    catalogue.AB_DECISIONS.labels(decision.kind).inc()
    return decision


def row_evidence(
    experiment: Experiment, situations: Mapping[Arm, Situation], verdict: Verdict, passed: Sequence[Arm] = ()
) -> dict[str, object]:
    """The numbers behind a verdict: metric values, e-values, boundaries, sample sizes, probabilities, and whatever else
    went into it, so that it can be come to again from the frozen values alone. Of several candidates each has its own
    under `candidates`; the leading one (the one the verdict is about, else the first) stands in front."""
    leading = verdict.arm if verdict.arm is not None and verdict.arm in situations else next(iter(situations))
    document: dict[str, object] = {
        "code": verdict.code,
        "experiment_kind": experiment.kind,
        "arm": leading,
        "phase": msgspec.to_builtins(experiment.phase),
        "slot": list(experiment.slot),
        "propensity": dict.fromkeys((*experiment.remaining, "control"), experiment.phase.share),
        **candidate_evidence(situations[leading]),
    }
    if len(experiment.candidates) > 1:
        document["candidates"] = {arm: candidate_evidence(situation) for arm, situation in situations.items()}
        document["passing"] = list(passed)
    if experiment.kind == "challenge" and verdict.kind in ("drop", "promote", "rollback", "stop", "abort"):
        leaving = [leading] if verdict.kind == "drop" else list(situations)
        document["stream"] = [
            entry_of(
                arm,
                experiment.arms[arm],
                situations[arm].log_e_discovery,
                situations[arm].allowed,
                verdict.kind == "promote" and arm == leading,
            )
            for arm in leaving
        ]
    found: dict[str, object] = plain(document)
    return found


def candidate_evidence(situation: Situation) -> dict[str, object]:
    """One candidate's part of a row."""
    boundaries = situation.boundaries
    return {
        "proof": situation.proof,
        "boundaries_nats": {
            "better": boundaries.better,
            "not_inferior": boundaries.not_inferior,
            "worse": boundaries.worse,
            "sample_ratio": boundaries.sample_ratio,
            "sample_ratio_segment": boundaries.sample_ratio_segment,
        },
        "discovery": situation.allowed.document() | {"log_e": situation.log_e_discovery},
        "inputs": {
            "proof_detail": situation.proof_detail,
            "champion_is_control": situation.champion_is_control,
            "champion_is_challenger": situation.champion_is_challenger,
            "challenger_state": situation.challenger_state,
            "trips": list(situation.trips),
            "control_trips": list(situation.control_trips),
            "paused_at": situation.paused_at,
            "paused_seconds": situation.paused_seconds,
            "veto": situation.veto,
        },
        **({} if situation.evidence is None else situation.evidence.document()),
    }


def plain(value: Any) -> Any:
    """The same with every number that is none (NaN, an infinity) as None: the ledger has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def last_code(repository: ExperimentRepository, experiment: Experiment) -> str:
    """The code of the experiment's newest row: a hold for the same reason is not written again."""
    last = repository.last_decision(experiment.experiment_id)
    return "" if last is None else str(last.evidence.get("code", ""))


def apply_verdict(
    repository: ExperimentRepository,
    experiment: Experiment,
    verdict: Verdict,
    decision: Decision,
    passed: Sequence[Arm] = (),
) -> None:
    """Change what the verdict changes: the ramp, or the experiment's end, the adapters' states and the champion.

    `passed`: further candidates that might have been promoted as well. They go back to waiting, to meet the new
    champion; those that had shown nothing yet go into reserve, for the best of their cycle is champion.
    """
    now = decision.decided_at
    if verdict.kind == "ramp":
        assert verdict.share is not None
        phase = Phase(experiment.phase.index + 1, verdict.share, now)
        repository.set_phases(experiment, (*experiment.phases, phase))
    elif verdict.kind == "drop":
        assert verdict.arm is not None
        dropped = [*experiment.dropped, verdict.arm]
        repository.set_config(experiment, {**experiment.config, "dropped": dropped})
        _reject(repository, [experiment.arms[verdict.arm]], verdict.code)
    elif verdict.kind == "promote":
        winner = verdict.arm or "challenger"
        repository.end(experiment, "promoted", now)
        repository.set_adapter_state(experiment.control, "retired")
        for arm, adapter in experiment.remaining.items():
            if arm == winner:
                repository.set_adapter_state(adapter, "champion")
                repository.move_champion(adapter, experiment.control, decision.decision_id, now)
            elif arm not in passed:
                repository.set_adapter_state(adapter, "reserve")
    elif verdict.kind == "rollback":
        repository.end(experiment, "rolled_back", now)
        _reject(repository, list(experiment.remaining.values()), verdict.code)
        if experiment.kind == "holdback":
            repository.set_adapter_state(experiment.control, "champion")
            repository.move_champion(experiment.control, experiment.control, decision.decision_id, now)
    elif verdict.kind == "stop":
        repository.end(experiment, "stopped", now)
        if experiment.kind == "challenge":
            _reject(repository, list(experiment.remaining.values()), verdict.code)


def _reject(repository: ExperimentRepository, adapters: Sequence[str], code: str) -> None:
    if code in STAY:
        return
    for adapter in adapters:
        if repository.adapter_state(adapter) in ("challenger", "champion"):  # whatever else it is came from elsewhere
            repository.set_adapter_state(adapter, "rejected")


def revert_champion(
    context: Context,
    reason: str,
    witness: Callable[[Connection, Decision], None] = lambda _connection, _decision: None,
    *,
    to_base: bool = False,
) -> Decision:
    """Go back to the champion before, now, on a person's word; a running experiment stops at its next look.

    `to_base`: to the base instead, as before another base model is served, on which no adapter of today can be: the
    champion retires and is not rejected. Raises NothingToRevertTo when there is none. The decision is a `rollback` of
    no experiment; `witness` writes the act down elsewhere, in the same transaction.
    """
    with context.database.transaction() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        champion, before = repository.champion(), BASE_ADAPTER if to_base else repository.last_proven()
        if champion is None or before is None or champion == before:
            raise NothingToRevertTo(f"champion {champion!r} has no champion before it to go back to", field="champion")
        evidence: dict[str, object] = {"code": "reverted", "from": champion, "to": before}
        verdict = Verdict("rollback", "reverted", f"back from {champion} to {before}: {reason}")
        decision = record(repository, context, "", verdict, evidence, None)
        repository.set_adapter_state(champion, "retired" if to_base else "rejected")
        repository.set_adapter_state(before, "champion")
        repository.move_champion(before, before, decision.decision_id, decision.decided_at)
        witness(connection, decision)
    return decision
