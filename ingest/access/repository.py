"""SQL of API keys and of the audit trail."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, or_, select, text, update

from infra.db.tables import api_keys, audit_entries, experiments
from ingest.access.audit import AuditEntry
from ingest.access.keys import ApiKey

_AUDIT_LOCK = 0x504C_4155_4441_5544
"""Advisory lock of PostgreSQL under which entries are appended: "PLAUDAUD"."""


class KeyRepository:
    """API keys of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def add(self, key: ApiKey, secret_hash: str) -> None:
        """Write a new key."""
        row = {**msgspec.to_builtins(key), "scopes": ",".join(sorted(key.scopes)), "secret_hash": secret_hash}
        self._connection.execute(insert(api_keys).values(project=self._project, **row))

    def by_hash(self, secret_hash: str) -> ApiKey | None:
        """The key whose secret has this hash, revoked and expired ones too."""
        columns = api_keys.columns
        row = self._connection.execute(
            select(api_keys).where(columns.secret_hash == secret_hash, columns.project == self._project)
        ).one_or_none()
        return None if row is None else _key(row)

    def named(self, wanted: str) -> list[ApiKey]:
        """The key of that id, or the keys of that name, oldest first."""
        columns = api_keys.columns
        rows = self._connection.execute(
            select(api_keys)
            .where(columns.project == self._project, or_(columns.key_id == wanted, columns.name == wanted))
            .order_by(columns.created_at, columns.key_id)
        )
        return [_key(row) for row in rows]

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        columns = api_keys.columns
        rows = self._connection.execute(
            select(api_keys).where(columns.project == self._project).order_by(columns.created_at, columns.key_id)
        )
        return [_key(row) for row in rows]

    def revoke(self, key_id: str, at: float) -> bool:
        """Mark a key as revoked from `at` on; one that would be revoked earlier stays so. False if there is none."""
        columns = api_keys.columns
        done = self._connection.execute(
            update(api_keys)
            .where(
                columns.project == self._project,
                columns.key_id == key_id,
                or_(columns.revoked_at.is_(None), columns.revoked_at > at),
            )
            .values(revoked_at=at)
        )
        return done.rowcount == 1

    def touch(self, key_id: str, at: float) -> None:
        """Write down that the key was used."""
        columns = api_keys.columns
        self._connection.execute(
            update(api_keys).where(columns.project == self._project, columns.key_id == key_id).values(last_used_at=at)
        )


class AuditRepository:
    """The audit trail of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def last(self) -> AuditEntry | None:
        """The newest entry. Others that want to append wait from here until the commit."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _AUDIT_LOCK})
        columns = audit_entries.columns
        row = self._connection.execute(
            select(audit_entries).where(columns.project == self._project).order_by(columns.sequence.desc()).limit(1)
        ).one_or_none()
        return None if row is None else _entry(row)

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self._connection.execute(insert(audit_entries).values(**msgspec.to_builtins(entry)))

    def entries(self, action: str | None = None, limit: int | None = None) -> Sequence[AuditEntry]:
        """Entries in order; with `limit`, the newest so many. `action`: one, or a kind: `key` is all of
        `key.created`, `key.revoked` and so on."""
        columns = audit_entries.columns
        statement = select(audit_entries).where(columns.project == self._project).order_by(columns.sequence.desc())
        if action is not None:
            statement = statement.where(or_(columns.action == action, columns.action.like(f"{action}.%")))
        rows = self._connection.execute(statement.limit(limit)).all()
        return [_entry(row) for row in reversed(rows)]


def experiment_running(connection: Connection, project: str) -> str | None:
    """Id of the running experiment, or None."""
    columns = experiments.columns
    found = select(columns.experiment_id).where(columns.project == project, columns.status == "running").limit(1)
    return connection.execute(found).scalar_one_or_none()


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(**row._asdict())


def _key(row: Any) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        scopes=frozenset(row.scopes.split(",")),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
