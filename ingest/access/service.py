"""API keys as they are administered: made, listed, rotated, revoked; each act in the audit trail."""

from collections.abc import Iterable

from sqlalchemy import Connection

from infra.contracts import PlauditError, uuid7
from infra.runtime import Context
from ingest.access import audit
from ingest.access.keys import ApiKey, checked_scopes, hash_of, new_secret
from ingest.access.repository import AuditRepository, KeyRepository

MAX_NAME_CHARACTERS = 63


class KeyNotFound(PlauditError):
    """No such key, or several of that name."""

    code = "key_not_found"
    status = 404


class InvalidKeyName(PlauditError):
    """A name that a key cannot have."""

    code = "invalid_key_name"
    status = 422


def create_key(
    context: Context, name: str, scopes: Iterable[str], *, actor: str, lifetime_seconds: float | None = None
) -> tuple[ApiKey, str]:
    """A new key and its secret, which nobody can read again. Raises InvalidScope, InvalidKeyName."""
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidKeyName(
            f"name has {len(name)} characters; give 1 to {MAX_NAME_CHARACTERS} that can be printed", field="name"
        )
    now = context.clock.now()
    wanted = checked_scopes(scopes)
    expires_at = None if lifetime_seconds is None else now + lifetime_seconds
    with context.database.transaction() as connection:
        made = _add(connection, context, name, wanted, now, expires_at)
        _record(connection, context, actor, "key.created", made[0], now)
    return made


def list_keys(context: Context) -> list[ApiKey]:
    """Every key, oldest first, ended ones too."""
    with context.database.reading() as connection:
        return KeyRepository(connection, context.settings.project).all()


def rotate_key(context: Context, which: str, *, actor: str, grace_seconds: float = 0.0) -> tuple[ApiKey, str]:
    """A new key with the name, scopes and remaining lifetime of `which` (id, or name of the one live key); the former
    one ends after `grace_seconds`. Raises KeyNotFound."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        former = _live(connection, context, which, now)
        made = _add(connection, context, former.name, former.scopes, now, former.expires_at)
        KeyRepository(connection, context.settings.project).revoke(former.key_id, now + grace_seconds)
        _record(connection, context, actor, "key.rotated", made[0], now, replaces=former.key_id, grace=grace_seconds)
    return made


def revoke_key(context: Context, which: str, *, actor: str) -> ApiKey:
    """End a key (id, or name of the one live key) now; every process learns it within `access.cache_seconds`. Raises
    KeyNotFound."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        key = _live(connection, context, which, now)
        KeyRepository(connection, context.settings.project).revoke(key.key_id, now)
        _record(connection, context, actor, "key.revoked", key, now)
    return key


def audit_trail(context: Context, action: str | None = None, limit: int | None = None) -> list[audit.AuditEntry]:
    """Entries in order, at most the newest `limit`. The whole trail is verified first: raises AuditTampered."""
    with context.database.reading() as connection:
        repository = AuditRepository(connection, context.settings.project)
        audit.verify(repository.entries())
        return list(repository.entries(action, limit))


def _add(
    connection: Connection,
    context: Context,
    name: str,
    scopes: frozenset[str],
    now: float,
    expires_at: float | None,
) -> tuple[ApiKey, str]:
    secret = new_secret()
    key = ApiKey(key_id=str(uuid7()), name=name, scopes=scopes, created_at=now, expires_at=expires_at)
    KeyRepository(connection, context.settings.project).add(key, hash_of(secret))
    return key, secret


def _live(connection: Connection, context: Context, which: str, now: float) -> ApiKey:
    found = [key for key in KeyRepository(connection, context.settings.project).named(which) if key.live(now)]
    if len(found) == 1:
        return found[0]
    ids = ", ".join(key.key_id for key in found)
    raise KeyNotFound(
        f"{len(found)} live keys are called {which!r} ({ids}): give one's id"
        if found
        else f"no live key {which!r}: `plaudit keys list` shows them",
        field="key",
    )


def _record(
    connection: Connection, context: Context, actor: str, action: str, key: ApiKey, now: float, **more: object
) -> None:
    detail = {"key_id": key.key_id, "name": key.name, "scopes": sorted(key.scopes), **more}
    audit.record(connection, actor, action, detail, project=context.settings.project, at=now)
