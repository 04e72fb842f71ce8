"""The audit trail's side of a person's word about experiments."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from infra.contracts import Decision
    from infra.runtime import Context


def witness(context: "Context", action: str, reason: str) -> "Callable[[Connection, Decision], None]":
    """Enters the act in the audit trail, in the transaction of the ledger's row."""
    from ingest.access import audit

    def enter(connection: "Connection", decision: "Decision") -> None:
        detail = {"experiment": decision.experiment_id, "decision": decision.decision_id, "reason": reason}
        audit.record(
            connection, audit.operator(), action, detail, project=context.settings.project, at=decision.decided_at
        )

    return enter
