"""The audit trail: every administrative act, append-only, each entry bound to the one before by a hash.

Write an entry in the transaction of the act itself: then there is no act without an entry and no entry without an act.
A person is never named in it; an erasure is named by its id.
"""

import getpass
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from infra.contracts import PlauditError

GENESIS = "0" * 64
"""`previous_hash` of the first entry."""


class AuditTampered(PlauditError):
    """An entry of the audit trail is not what it was when it was written, or one is missing."""

    code = "audit_tampered"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One administrative act. `sequence` counts from 1 within a project; `at` is Unix seconds."""

    project: str
    sequence: int
    actor: str
    action: str
    detail: dict[str, Any]
    at: float
    previous_hash: str
    hash: str


def record(
    connection: Connection, actor: str, action: str, detail: Mapping[str, Any], *, project: str, at: float
) -> AuditEntry:
    """Append an entry, inside the caller's transaction. `actor`: who did it (`operator()` on the command line, a key's
    id over HTTP); `action`: a stable word such as `key.created`; `detail`: plain JSON values, no secret, no person."""
    from ingest.access.repository import AuditRepository

    repository = AuditRepository(connection, project)
    last = repository.last()
    plain: dict[str, Any] = json.loads(canonical(dict(detail)))
    entry = AuditEntry(
        project=project,
        sequence=last.sequence + 1 if last else 1,
        actor=actor[:128],
        action=action[:64],
        detail=plain,
        at=at,
        previous_hash=last.hash if last else GENESIS,
        hash="",
    )
    sealed = msgspec.structs.replace(entry, hash=hash_of(entry))
    repository.add(sealed)
    return sealed


def operator() -> str:
    """Who is at the command line: the account's name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # no such account: a container with a bare number
        return f"cli:uid-{os.getuid()}"


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 (hex) of the canonical JSON of all fields but `hash` itself."""
    document = msgspec.to_builtins(entry)
    del document["hash"]
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def verify(entries: Iterable[AuditEntry]) -> str:
    """Check a project's whole trail, given in order; returns the newest hash (GENESIS when empty).

    Raises AuditTampered naming the first entry that was changed, removed or put in. What is cut off at the end cannot
    be seen from the rest: keep the returned hash elsewhere and compare.
    """
    previous, expected = GENESIS, 1
    for entry in entries:
        if (entry.sequence, entry.previous_hash) != (expected, previous) or entry.hash != hash_of(entry):
            raise AuditTampered(
                f"entry {entry.sequence} of project {entry.project} does not follow from the ones before it: "
                "compare with a backup of the store",
                field="sequence",
            )
        previous, expected = entry.hash, expected + 1
    return previous


def canonical(value: Any) -> str:
    """One text for one content, whichever store it comes from: sorted keys, no spaces, numbers as floats."""
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return float(value)
