"""A person's word about the champion: put an adapter in its place, with the reason in the ledger. Going back is
`effects.revert_champion`; pausing what runs is `control`."""

from collections.abc import Callable

from sqlalchemy import Connection

from ab_testing.decisions import Verdict
from ab_testing.effects import record
from ab_testing.looking import proof_of
from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, PlauditError
from infra.contracts.adapters import parse_ref
from infra.runtime import Context

PROMOTABLE = ("challenger", "reserve", "retired")
"""States of adapters that a person may promote: they passed the gate, and lost no experiment."""

Witness = Callable[[Connection, Decision], None]
"""Writes the act down elsewhere, in the same transaction."""


class NotPromotable(PlauditError):
    """The adapter is none that may be put before everybody."""

    code = "not_promotable"
    status = 409


def promote_by_hand(
    context: Context, adapter: str, reason: str, witness: Witness = lambda _connection, _decision: None
) -> Decision:
    """Make `adapter` (`name@version`) the champion now, without an experiment; a running one stops at its next look.

    The champion before stays loaded and goes on answering until a replica has proven the new one. Raises
    InvalidAdapterRef, and NotPromotable for one that is champion already, did not pass the gate, lost an experiment, or
    was refused by every replica that tried it.
    """
    parse_ref(adapter)
    with context.database.transaction() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        champion = repository.champion()
        _check(repository, adapter, champion)
        assert champion is not None
        evidence: dict[str, object] = {"code": "promoted_by_hand", "from": champion, "to": adapter}
        verdict = Verdict("promote", "promoted_by_hand", f"from {champion} to {adapter} by hand: {reason}")
        decision = record(repository, context, "", verdict, evidence, None)
        repository.set_adapter_state(champion, "retired")
        repository.set_adapter_state(adapter, "champion")
        repository.move_champion(adapter, champion, decision.decision_id, decision.decided_at)
        witness(connection, decision)
    return decision


def _check(repository: ExperimentRepository, adapter: str, champion: str | None) -> None:
    state = repository.adapter_state(adapter)
    if champion is None or state not in PROMOTABLE:
        raise NotPromotable(
            f"{adapter} is {state}; only {', '.join(PROMOTABLE)} may be promoted by hand", field="adapter"
        )
    proof, detail = proof_of(repository, adapter)
    if proof == "refused":
        raise NotPromotable(f"no replica could prove {adapter}: {detail}", field="adapter")
