"""The ledger of decisions: append-only, each row bound to the one before by a hash."""

import hashlib
import json
import math
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from infra.contracts import Decision, DecisionKind, PlauditError

GENESIS = "0" * 64
"""`previous_hash` of the first row."""

_IDS = uuid.UUID("6f8b1f0e-6c5c-5d1a-9a51-3f0e1c7c9d21")


class LedgerTampered(PlauditError):
    """A row of the ledger is not what it was when it was written."""

    code = "ledger_tampered"


def canonical_json(value: Any) -> str:
    """One text for one content: sorted keys, no spaces, every number written as the shortest float that reads back.

    Stores differ in how they return numbers (1e22 may come back as an integer); the text does not. Raises ValueError
    on NaN and infinities, which JSON does not have.
    """
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(decision: Decision) -> str:
    """SHA-256 (hex) of the canonical JSON of all fields but `hash` itself."""
    document = msgspec.to_builtins(decision)
    del document["hash"]
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def next_decision(
    previous: Decision | None,
    *,
    project: str,
    experiment_id: str,
    kind: DecisionKind,
    reason: str,
    evidence: dict[str, object],
    config_hash: str,
    watermark: float,
    decided_at: float,
) -> Decision:
    """The row that follows `previous` (None: the first). Its id depends on its place and content alone."""
    sequence = previous.sequence + 1 if previous else 1
    previous_hash = previous.hash if previous else GENESIS
    name = canonical_json([project, sequence, previous_hash, experiment_id, kind, reason, watermark])
    unsealed = Decision(
        project=project,
        sequence=sequence,
        decision_id=str(uuid.uuid5(_IDS, name)),
        experiment_id=experiment_id,
        kind=kind,
        reason=reason,
        evidence=evidence,
        config_hash=config_hash,
        watermark=watermark,
        decided_at=decided_at,
        previous_hash=previous_hash,
        hash="",
    )
    return msgspec.structs.replace(unsealed, hash=hash_of(unsealed))


def verify_chain(decisions: Iterable[Decision]) -> str:
    """Check a project's whole ledger, given in order; returns the newest hash (GENESIS when empty).

    Raises LedgerTampered naming the first row that was changed, removed or put in. Rows cut off at the end cannot be
    seen from the rest: keep the returned hash elsewhere and compare.
    """
    previous, expected = GENESIS, 1
    for decision in decisions:
        if decision.sequence != expected:
            raise LedgerTampered(
                f"decision {expected} is missing: found {decision.sequence} in its place; restore the table "
                "`decisions` from a backup",
                field="sequence",
            )
        if decision.previous_hash != previous:
            raise LedgerTampered(
                f"decision {decision.sequence} does not follow the one before: previous_hash is "
                f"{decision.previous_hash[:12]}..., the row before has {previous[:12]}...",
                field="previous_hash",
            )
        if hash_of(decision) != decision.hash:
            raise LedgerTampered(
                f"decision {decision.sequence} ({decision.kind}) was changed after it was written: its content does "
                "not give its hash; restore the row from a backup",
                field="hash",
            )
        previous, expected = decision.hash, expected + 1
    return previous


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be put into the ledger: write None and say why")
        return float(value) + 0.0  # -0.0 becomes 0.0: not every store keeps the sign
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value]
